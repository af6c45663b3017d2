# SPDX-License-Identifier: GPL-2.0-or-later
"""Configuration fragments: what is read, what is asked of which kernel, and that a lost option is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.build import kconfig
from harness.errors import KernelConfigError, UserError
from harness.layout import project


def _fragment(tmp_path: Path, text: str, name: str = "x.config") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_later_fragment_wins_and_order_does_not_matter_for_the_text(tmp_path: Path) -> None:
    a = _fragment(tmp_path, "CONFIG_B=y\n# a comment\n\nCONFIG_A=m\n", "a.config")
    b = _fragment(tmp_path, '# CONFIG_B is not set\nCONFIG_S="x # y"\nCONFIG_H=0x10\n', "b.config")
    options = kconfig.read_fragments([a, b], "6.1.0")
    assert kconfig.merged(options) == 'CONFIG_A=m\n# CONFIG_B is not set\nCONFIG_H=0x10\nCONFIG_S="x # y"\n'
    assert kconfig.merged(reversed(options)) == kconfig.merged(options)


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("6.1.192", {"OLD", "ALL"}),
        ("6.9.0-rc1", {"OLD", "NEW", "ALL"}),
        ("6.12.3", {"NEW", "ALL"}),
        ("10.1", {"NEW", "ALL"}),
    ],
)
def test_limits(tmp_path: Path, version: str, names: set[str]) -> None:
    path = _fragment(
        tmp_path,
        "CONFIG_OLD=y  # before 6.12\nCONFIG_NEW=y # since 6.9\nCONFIG_ALL=y\n"
        "CONFIG_SPAN=y  # since 6.2, before 6.3\n",
    )
    assert {option.name for option in kconfig.read_fragments([path], version)} == names


def test_limited_line_that_switches_off(tmp_path: Path) -> None:
    path = _fragment(tmp_path, "# CONFIG_X is not set  # since 6.9\n")
    assert kconfig.read_fragments([path], "6.1.0") == ()
    assert kconfig.merged(kconfig.read_fragments([path], "6.9.0")) == "# CONFIG_X is not set\n"


@pytest.mark.parametrize(
    "line",
    ["CONFIG_X", "X=y", "CONFIG_X=y # since six", "CONFIG_X=y n", "CONFIG_X=y # after 6.1", 'CONFIG_X="open'],
)
def test_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = _fragment(tmp_path, f"CONFIG_A=y\n{line}\n")
    with pytest.raises(UserError, match=r"x\.config:2: "):
        kconfig.read_fragments([path], "6.1.0")


def test_missing_fragment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.config: .*cannot be read"):
        kconfig.read_fragments([tmp_path / "no.config"], "6.1.0")


def test_lost_options_are_named_with_asked_and_got(tmp_path: Path) -> None:
    path = _fragment(
        tmp_path,
        "CONFIG_GONE=y\nCONFIG_KEPT=y\nCONFIG_MOD=y\n# CONFIG_OFF is not set\n# CONFIG_ON is not set\n"
        "CONFIG_N=8\n",
    )
    config = "CONFIG_KEPT=y\nCONFIG_MOD=m\nCONFIG_ON=y\nCONFIG_N=4\n# CONFIG_OTHER is not set\n"
    with pytest.raises(KernelConfigError, match="4 kernel options") as caught:
        kconfig.check(kconfig.read_fragments([path], "6.1.0"), config)
    assert caught.value.detail.splitlines() == [
        "x.config:1: CONFIG_GONE: asked y, got absent",
        "x.config:3: CONFIG_MOD: asked y, got m",
        "x.config:5: CONFIG_ON: asked n, got y",
        "x.config:6: CONFIG_N: asked 8, got 4",
    ]


_OPTIONS = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True),
    st.sampled_from(["y", "m", "n", "0x1f", "12", '"a b"', '""']),
)


@given(_OPTIONS)
def test_what_is_written_is_read_back(values: dict[str, str]) -> None:
    options = [kconfig.Option(name, value, "x:1") for name, value in values.items()]
    text = kconfig.merged(options)
    assert kconfig.read_config(text) == values
    kconfig.check(options, text)


def test_own_fragments_are_valid_and_limited_where_kernels_differ() -> None:
    paths = sorted(project().kconfigs.glob("*.config"))
    assert {path.stem for path in paths} >= {"base", "4k", "sva", "lockdep"}
    old = {option.name for option in kconfig.read_fragments(paths, "6.1.0")}
    new = {option.name for option in kconfig.read_fragments(paths, "7.3.0")}
    assert {"ARM_SMMU_V3_SVA", "PROVE_LOCKING"} <= old & new
    assert old - new == {"ARM64_PAN", "ARM64_USE_LSE_ATOMICS", "CRYPTO", "CRYPTO_LZO", "PROC_SYSCTL"}
