# SPDX-License-Identifier: GPL-2.0-or-later
"""A bundle is the same each time, holds what it lists, and a hostile one is refused before it is used."""

from __future__ import annotations

import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.build.sandbox import Sandbox
from harness.errors import InfrastructureError, UserError
from harness.jobs import reproduce
from harness.jobs.guests import GuestJob
from harness.jobs.reproduce import Opened
from harness.model import Outcome, Setup
from harness.report import document
from harness.report.schema import RunFile
from harness.sources import bundle
from harness.sources.bundle import MANIFEST, EmulatorFacts
from harness.sources.catalogue import checked_setup
from tests.unit import runs

FACTS = EmulatorFacts(key="0" * 64, version="QEMU", origin="x", machine="x86_64", libraries=("libc.so.6",))
FILES: dict[str, Path | bytes] = {
    "reproduce.sh": b"#!/bin/sh\n",
    "run/run.json": b"{}",
    "kernels/base/Image": b"i" * 99,
}


def packed(folder: Path, files: dict[str, Path | bytes] = FILES) -> Path:
    target = folder / "run.bundle.tar.xz"
    bundle.pack(files, FACTS, "0", target)
    return target


def unpacked(archive: Path, scratch: Path) -> Path:
    scratch.mkdir()
    return bundle.unpack(archive, scratch, Sandbox())[0]


def hostile(folder: Path, change: Callable[[tarfile.TarFile], None]) -> Path:
    """A bundle that is whole, with something added at its end."""
    whole = packed(folder)
    plain = io.BytesIO(lzma.decompress(whole.read_bytes()))
    with tarfile.open(fileobj=plain, mode="a") as tar:
        change(tar)
    whole.write_bytes(lzma.compress(plain.getvalue(), preset=0))
    return whole


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, size
        tar.addfile(info, io.BytesIO(b"x" * size))

    return add


def test_the_same_files_give_the_same_archive(tmp_path: Path) -> None:
    source = tmp_path / "Image"
    source.write_bytes(b"kernel")
    first = packed(tmp_path, FILES | {"kernels/base/Image": source}).read_bytes()
    os.utime(source, (1, 1))
    source.chmod(0o600)
    assert packed(tmp_path, FILES | {"kernels/base/Image": source}).read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Image", "run.bundle.tar.xz"]


def test_what_was_packed_comes_out(tmp_path: Path) -> None:
    folder = unpacked(packed(tmp_path), tmp_path / "s")
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert os.access(folder / "reproduce.sh", os.X_OK) and not os.access(folder / "run" / "run.json", os.X_OK)
    assert bundle.unpack(folder, tmp_path, Sandbox())[0] == folder  # unpacked by hand


def test_a_name_that_cannot_be_packed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="not a name"):
        packed(tmp_path, FILES | {"run/../x": b""})
    assert not list(tmp_path.iterdir())


TOP = "run"
EVIL = {
    "a name that leaves the folder": (entry(f"{TOP}/../../evil"), "not a whole bundle|no more"),
    "an absolute name": (entry("/evil"), "no more"),
    "a link": (entry(f"{TOP}/run/link", tarfile.SYMTYPE, "/etc/passwd"), "neither a file nor a folder"),
    "a link in place of a folder": (entry(f"{TOP}/guest", tarfile.SYMTYPE, "/etc"), "neither a file nor a folder"),
    "a link in place of a file": (entry(f"{TOP}/run/run.json", tarfile.SYMTYPE, "/etc/passwd"), "neither a file"),
    "a link in place of the list": (entry(f"{TOP}/{MANIFEST}", tarfile.SYMTYPE, "/etc/passwd"), "neither a file"),
    "a pipe": (entry(f"{TOP}/run/pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
    "a device": (entry(f"{TOP}/run/null", tarfile.CHRTYPE), "not a whole bundle|neither a file"),
    "one file more": (entry(f"{TOP}/run/more", size=3), "run/more: not in its list"),
    "other content": (entry(f"{TOP}/run/run.json", size=2), "run/run.json: not what"),
    "another size": (entry(f"{TOP}/run/run.json", size=3), "run/run.json: not what"),
    "a second folder": (entry("other/file", size=1), "no more"),
    "a hidden file": (entry(f"{TOP}/.bashrc", size=1), "a name that no bundle"),
    "an escape sequence": (entry(f"{TOP}/run/\x1b[2J", size=1), "a name that no bundle"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_a_hostile_archive(kind: str, tmp_path: Path) -> None:
    change, words = EVIL[kind]
    with pytest.raises(UserError, match=words) as error:
        unpacked(hostile(tmp_path, change), tmp_path / "s")
    assert "\x1b" not in str(error.value)
    assert not Path("/evil").exists() and not (tmp_path / "evil").exists()


def test_a_hard_link_brings_nothing_of_the_hosts(tmp_path: Path) -> None:
    archive = hostile(tmp_path, entry(f"{TOP}/run/run.json", tarfile.LNKTYPE, "/etc/passwd"))
    with pytest.raises(UserError, match="not a whole bundle"):
        unpacked(archive, tmp_path / "s")


@pytest.mark.parametrize("cut", [10, 200])
def test_half_an_archive(cut: int, tmp_path: Path) -> None:
    archive = packed(tmp_path)
    archive.write_bytes(archive.read_bytes()[:-cut])
    with pytest.raises(UserError, match="not a whole bundle"):
        unpacked(archive, tmp_path / "s")


def test_an_archive_that_grows_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_MOST_BYTES", 1 << 20)
    archive = packed(tmp_path, FILES | {"guest/disk": bytes(64 << 20)})
    assert archive.stat().st_size < 1 << 17
    with pytest.raises(UserError, match=r"more than a bundle may hold|not a whole bundle"):
        unpacked(archive, tmp_path / "s")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(schema="faultloop/bundle/2"), "schema"),
        (lambda m: m["files"].pop("run/run.json"), "run/run.json: not in its list"),
        (lambda m: m["files"].update({"../../etc/passwd": m["files"]["run/run.json"]}), "etc/passwd: missing"),
        (lambda m: m["files"]["run/run.json"].update(sha256="../x"), "sha256"),
        (lambda m: m.update(more=1), "more"),
    ],
)
def test_a_list_that_lies(change: Callable[[Any], None], words: str, tmp_path: Path) -> None:
    folder = unpacked(packed(tmp_path), tmp_path / "s")
    told = json.loads((folder / MANIFEST).read_text())
    change(told)
    (folder / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(UserError, match=words):
        bundle.verified(folder, "x")


def test_no_bundle(tmp_path: Path) -> None:
    for given in (tmp_path / "none", tmp_path):
        with pytest.raises(UserError, match=r"no such bundle|not a bundle of faultloop"):
            bundle.unpack(given, tmp_path, Sandbox())


GOOD = Setup("cortex-a76+httu=dirty", "cortex-a76", httu="dirty")


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "../../x"},
        {"name": "a/b"},
        {"cpu": "max,sve=on"},
        {"cpu": "-S"},
        {"accel": "tcg,one-insn-per-tb=on"},
        {"thp": "never init=/bin/sh"},
        {"memory_mib": 1 << 20},
        {"memory_mib": 0},
        {"cpus": 4096},
        {"stall": "on,x=y"},
        {"oas": -1},
    ],
)
def test_a_setup_of_a_stranger_is_one_that_could_be_ours(bad: dict[str, Any]) -> None:
    assert checked_setup(GOOD) == GOOD
    with pytest.raises(UserError, match="setup"):
        checked_setup(replace(GOOD, **bad))


def job(run: RunFile, tmp_path: Path) -> GuestJob:
    """Of the first guest, from a bundle with this ``run.json``."""
    files = FILES | {"kernels/base/config": b"", "kernels/base/modules/x.ko": b""}
    folder = unpacked(packed(tmp_path, files), tmp_path / "s")
    return reproduce.job_of(Opened(folder, bundle.verified(folder, "x"), run), run.guests[0], tmp_path)


def test_a_guest_of_a_bundle(tmp_path: Path) -> None:
    made = job(document.of(runs.run(tmp_path, ["LOOP", "PASS"])), tmp_path)
    assert (made.name, [w.path for w in made.workloads]) == ("base/cortex-a57", ["a", "b"])
    assert [m.name for m in made.built.modules] == ["x.ko"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcomes": {"../../../x": Outcome.PASS}}, "not the names of paths"),
        ({"outcomes": {}}, "not the names of paths"),
        ({"variant": "../x"}, "variant"),
        ({"setup": "../x"}, "setup"),
    ],
)
def test_what_becomes_a_file_name_is_looked_at(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    run = document.of(runs.run(tmp_path, ["LOOP", "PASS"]))
    guest = run.guests[0].model_copy(update=change)
    setups = {**run.setups, "../x": replace(GOOD, name="../x")}
    with pytest.raises(UserError, match=words):
        job(run.model_copy(update={"guests": (guest,), "setups": setups}), tmp_path)
