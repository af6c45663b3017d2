# SPDX-License-Identifier: GPL-2.0-or-later
"""The command out of the wheel: everything is in it, it works in a kernel tree, and builds nothing anew."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.vm.command import ROOT, faultloop
from tests.vm.installed import Installed

QUICK = ("run", "--kernel", "6.1", "--workloads", "anon-reuse", "--setup", "cortex-a57")
DATA = (
    "README.md",
    "docs",
    "kconfigs",
    "guest-tests",
    "patches",
    "kernels.yaml",
    "setups.yaml",
    "tools/packages.txt",
)


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def kernel_tree(tmp_path: Path) -> Path:
    """Something that looks like a kernel's git tree."""
    tree = tmp_path / "linux"
    (tree / "mm").mkdir(parents=True)
    (tree / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n")
    (tree / "mm" / "memory.c").write_text("int x;\n")
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "a kernel")
    return tree


def test_the_wheel_holds_what_git_holds(wheel: Path) -> None:
    """A new file of the package or of the data is in it, or this names it."""
    with zipfile.ZipFile(wheel) as file:
        names = {n for n in file.namelist() if n.startswith("harness/")}
    package = set(git(ROOT, "ls-files", "harness").splitlines())
    data = {f"harness/_data/{name}" for name in git(ROOT, "ls-files", *DATA).splitlines()}
    assert package | data <= names, sorted((package | data) - names)


def test_a_build_leaves_nothing_in_the_checkout(wheel: Path) -> None:
    assert not [p.name for p in ROOT.iterdir() if p.name == "build" or p.name.endswith(".egg-info")]


def test_it_answers_in_a_kernel_tree(command: Installed, kernel_tree: Path) -> None:
    assert "anon-reuse" in command("workloads", cwd=kernel_tree).stdout
    told = command("doctor", cwd=kernel_tree).stdout
    assert f"results: in {command.state}/faultloop/results" in told
    assert "data files: installed, in" in told and str(ROOT) not in told
    assert "checks passed" in told, told


def test_it_finds_all_that_a_checkout_has_built(command: Installed, kernel_tree: Path, tmp_path: Path) -> None:
    """The same content has the same keys; and a kernel tree is left as it is."""
    ours = faultloop(*QUICK, "--json", results=tmp_path / "results")
    called = command(*QUICK, "--json", cwd=kernel_tree)
    assert called.status == ours.status == 1, called.stderr
    for part in ("kernel", "emulator", "guest", "builds", "setups", "paths"):
        assert called.run[part] == ours.run[part], part
    assert "0 run, 3 from the cache" in called.stderr
    assert (command.state / "faultloop" / "results" / "latest" / "run.json").is_file()
    assert git(kernel_tree, "status", "--porcelain", "--ignored") == ""
