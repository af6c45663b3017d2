# SPDX-License-Identifier: GPL-2.0-or-later
"""A bundle does it again on a machine that has nothing but the command."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.vm.command import faultloop
from tests.vm.installed import Installed

PATH = "anon-reuse-uncached"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with one guest, which passes: no controls."""
    results = tmp_path_factory.mktemp("results")
    words = ("run", "--kernel", "6.1", "--workloads", PATH, "--setup", "cortex-a57")
    assert faultloop(*words, results=results).status == 0
    called = faultloop("bundle", results=results)
    assert called.status == 0, called.stderr
    made, told = called.stdout.splitlines()
    assert hashlib.sha256(Path(made).read_bytes()).hexdigest() == told.split()[1].rstrip(",")
    return Path(made)


def test_it_is_had_again_with_an_empty_cache(bundle: Path, command: Installed, tmp_path: Path) -> None:
    """Another machine: installed, nothing built. A stranger's program is run only if the user says so."""
    cache = tmp_path / "cache"
    refused = command("reproduce", bundle, cwd=tmp_path, FAULTLOOP_CACHE=str(cache))
    assert refused.status == 2 and "--trust-emulator" in refused.stderr
    called = command(
        "reproduce",
        bundle,
        "--trust-emulator",
        "--json",
        cwd=tmp_path,
        FAULTLOOP_CACHE=str(cache),
        TMPDIR=str(tmp_path),
    )
    assert called.status == 0, called.stderr
    (row,) = called.run["paths"]
    assert (row["path"], row["recorded"], row["now"], row["same"]) == (PATH, "PASS", "PASS", True)
    assert called.run["emulator"] == "the bundle's"
    rooms = {p.name for p in cache.iterdir() if p.is_dir()}
    assert rooms <= {"locks"}, "something was built, or a stranger's record was kept"
    assert not list(tmp_path.glob("faultloop-*"))


@pytest.mark.long
def test_another_outcome_is_told(bundle: Path, tmp_path: Path) -> None:
    """A bundle that claims a loop where there is none; with our own emulator, as it is the same."""
    subprocess.run(["tar", "-xf", str(bundle), "-C", str(tmp_path)], check=True)
    (folder,) = tmp_path.iterdir()
    file, manifest = folder / "run" / "run.json", folder / "manifest.json"
    run = json.loads(file.read_text())
    run["guests"][0]["outcomes"][PATH] = "LOOP"
    file.write_text(json.dumps(run))
    told = json.loads(manifest.read_text())
    content = file.read_bytes()
    told["files"]["run/run.json"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest.write_text(json.dumps(told))
    called = faultloop("reproduce", folder, results=tmp_path / "r")
    assert called.status == 1, called.stderr
    assert "DIFFERS" in called.stdout and "emulator our own" in called.stdout
