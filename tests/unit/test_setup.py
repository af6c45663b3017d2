# SPDX-License-Identifier: GPL-2.0-or-later
"""Setups: which there are, how one is changed on the command line, and whether a machine is what was asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.build.kernel import DEFAULT_FRAGMENTS, fragments
from harness.errors import UserError
from harness.layout import project
from harness.model import Setup
from harness.oracle import setup as oracle
from harness.sources import catalogue
from harness.vm import command

FILE = project().setups
A57 = Setup("cortex-a57", "cortex-a57")

IDR0, IDR1, IDR5 = 0x00080116, 16 << 6, 0x74
"""STALL_MODEL 0b00, HTTU 0, BTM 0; SSIDSIZE 16; OAS 44 bits."""


def console(
    *,
    idr0: int = IDR0,
    idr1: int = IDR1,
    idr5: int = IDR5,
    mmfr1: int = 0,
    page: int = 4096,
    features: int = 0x20800,
) -> list[str]:
    return [
        f"[    1.3] arm-smmu-v3 9050000.smmuv3: ias 44-bit, oas 44-bit (features {features:#010x})",
        f"[    1.9] sva_testdev 0000:00:02.0: SMMU IDR0 {idr0:#x} IDR1 {idr1:#x} IDR5 {idr5:#x}, "
        f"CPU ID_AA64MMFR1 {mmfr1:#x}, page size {page}",
    ]


def test_a_setup_is_changed_by_name() -> None:
    (setup,) = catalogue.setups(FILE, "cortex-a76+httu=dirty+iotlb=64+page_kib=16+stall=force")
    assert setup == Setup(
        "cortex-a76+httu=dirty+iotlb=64+page_kib=16+stall=force",
        "cortex-a76",
        httu="dirty",
        iotlb=64,
        page_kib=16,
        stall="force",
        hw_dirty=True,
        memory_mib=512,
    )


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("cortex-a57", 256),
        ("a57-no-contpte", 256),
        ("a35-16k", 512),
        ("a57-64k", 512),
        ("a57-debug", 512),
        ("a57-kasan", 512),
        ("cortex-a57+page_kib=64", 512),
        ("cortex-a57+memory_mib=300", 300),
        ("a57-64k+memory_mib=64", 64),
    ],
)
def test_memory_is_what_the_kernel_needs_or_what_is_asked_for(name: str, memory: int) -> None:
    (setup,) = catalogue.setups(FILE, name)
    assert setup.memory_mib == memory
    assert catalogue.checked_setup(setup) == setup


def test_a_job_may_give_more_memory_to_those_that_do_not_say() -> None:
    """Linux's own selftests do."""
    names = "cortex-a57, a57-64k, cortex-a57+memory_mib=160"
    assert [s.memory_mib for s in catalogue.setups(FILE, names, memory_mib=300)] == [300, 512, 160]
    assert [s.memory_mib for s in catalogue.setups(FILE, names, memory_mib=600)] == [600, 600, 160]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cortex-a75", "unknown setup 'cortex-a75'"),
        ("cortex-a57+htu=dirty", "no field 'htu'.*httu"),
        ("cortex-a57+httu", "httu"),
        ("cortex-a57+httu=yes", "httu=yes: Input should be 'none', 'access' or 'dirty'"),
        ("cortex-a57+iotlb=-1", "iotlb=-1"),
        ("cortex-a57+ssidsize=21", "ssidsize=21"),
        ("cortex-a57+page_kib=8", "page_kib=8"),
        ("cortex-a57+memory_mib=63", "memory_mib=63"),
        ("cortex-a57+page_kib=16", "page_kib=16: .*cortex-a57 has no pages of 16 KiB; cortex-a35"),
    ],
)
def test_a_change_that_cannot_be_is_named(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        catalogue.setups(FILE, name)


def test_on_and_off_of_yaml_are_words(tmp_path: Path) -> None:
    file = tmp_path / "setups.yaml"
    rows = "".join(f"  {n}: {{cpu: x, hw_dirty: false, stall: {n}, btm: {n}}}\n" for n in ("on", "off", "force"))
    file.write_text(
        f"default: ['on', 'off', force]\nsetups:\n{rows}".replace("  on:", "  'on':").replace("  off:", "  'off':")
    )
    assert [(s.stall, s.btm) for s in catalogue.setups(file)] == [(w, w) for w in ("on", "off", "force")]


def test_linux_7_says_it_without_the_input_size() -> None:
    lines = [line.replace("ias 44-bit, ", "") for line in console()]
    assert oracle.inside(A57, lines) == []
    assert "Linux's oas" in oracle.inside(A57, [line.replace("oas 44", "oas 40") for line in lines])[0]


def test_the_machine_that_was_asked_for() -> None:
    assert oracle.inside(A57, console()) == []
    wanted = command.smmu(A57)
    assert oracle.outside(A57, wanted, {**wanted, "stall": True}, "cortex-a57-arm-cpu") == []


@pytest.mark.parametrize("name", sorted(command.smmu(A57)))
def test_each_property_is_looked_at_from_outside(name: str) -> None:
    wanted = command.smmu(A57)
    (found,) = oracle.outside(A57, wanted, {**wanted, name: 7}, "cortex-a57-arm-cpu")
    assert name in found
    (found,) = oracle.outside(A57, wanted, {k: v for k, v in wanted.items() if k != name}, "cortex-a57-arm-cpu")
    assert name in found


def test_another_cpu_is_noticed() -> None:
    wanted = command.smmu(A57)
    (found,) = oracle.outside(A57, wanted, wanted, "cortex-a76-arm-cpu")
    assert "cortex-a76-arm-cpu" in found


@pytest.mark.parametrize(
    ("setup", "what"),
    [
        ({"stall": "force"}, "STALL_MODEL"),
        ({"httu": "access"}, "HTTU"),
        ({"btm": "force"}, "BTM"),
        ({"ssidsize": 8}, "SSIDSIZE"),
        ({"page_kib": 16}, "page size"),
        ({"hw_dirty": True}, "hardware dirty bit"),
    ],
)
def test_each_feature_is_looked_at_from_inside(setup: dict[str, object], what: str) -> None:
    (found,) = oracle.inside(replace(A57, **setup), console())  # type: ignore[arg-type]
    assert what in found


def test_output_size_is_looked_at_in_the_register_and_in_what_linux_says() -> None:
    found = oracle.inside(replace(A57, oas=48), console())
    assert ["IDR5.OAS" in found[0], "Linux's oas" in found[1], len(found)] == [True, True, 2]


@pytest.mark.parametrize(("features", "what"), [(0x20000, "use of stalls"), (0x800, "use of SVA")])
def test_what_linux_makes_of_it_counts(features: int, what: str) -> None:
    (found,) = oracle.inside(A57, console(features=features))
    assert what in found


@pytest.mark.parametrize("number", [0, 1])
def test_a_silent_guest_is_no_proof(number: int) -> None:
    assert "did not say" in oracle.inside(A57, [console()[number]])[0]


def test_sets_are_several_setups_and_come_before_setups() -> None:
    names = [s.name for s in catalogue.setups(FILE, "sweep,cortex-a57,a57-64k")]
    assert len(names) == 9
    assert names[-1] == "a57-64k"
    with pytest.raises(UserError, match="unknown setup 'swep': did you mean sweep"):
        catalogue.setups(FILE, "swep")


def test_the_setups_of_a_sweep_share_one_kernel_and_the_others_have_each_their_own() -> None:
    kinds = [fragments(s) for s in catalogue.setups(FILE, "sweep")]
    assert len(kinds) == 8
    assert set(kinds) == {DEFAULT_FRAGMENTS}
    own = [fragments(s) for s in catalogue.setups(FILE, "kernels")]
    assert len(set(own)) == len(own) == 5
    assert DEFAULT_FRAGMENTS not in own


def test_transparent_huge_pages_are_asked_for_and_looked_at() -> None:
    (never,) = catalogue.setups(FILE, "a57-thp-never")
    assert command._thp(never) == ["faultloop.thp=never"]
    assert command._thp(A57) == []
    assert oracle.huge_pages(never, "always madvise [never]\n") == []
    assert oracle.huge_pages(never, "always [madvise] never\n") == [
        "in the guest, transparent huge pages are 'always [madvise] never', never was asked for"
    ]
