# SPDX-License-Identifier: GPL-2.0-or-later
"""What is found of a series beside its verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.build import checkpatch
from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import InfrastructureError
from harness.model import Checks, Kernel, Patch, Series
from harness.report import document, text
from tests.unit import runs

SCRIPT = r"""
my @files = grep { !/^-/ && m{^/build/patches/} } @ARGV;
print STDERR "No codespell\n";
for (@files) {
    print "mm/memory.c:12: WARNING:LINE_SPACING: Missing a blank line\n";
    print "mm/memory.c:13: ERROR:SPACING: need space ($_)\n";
}
exit 1;
"""


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def tree(folder: Path, script: str) -> Kernel:
    (folder / "scripts").mkdir()
    (folder / "scripts/checkpatch.pl").write_text(script)
    return Kernel("x", "6.1", "made here", "00", folder)


def series(*diffs: str) -> Series:
    return Series(tuple(Patch("x", diff) for diff in diffs))


def test_each_patch_is_looked_at_and_errors_come_first(tmp_path: Path, cache: Cache) -> None:
    found = checkpatch.check(tree(tmp_path, SCRIPT), series("one", "two"), cache=cache, sandbox=Sandbox())
    assert found == (
        "ERROR:SPACING: need space (/build/patches/0001.patch) (mm/memory.c:13)",
        "ERROR:SPACING: need space (/build/patches/0002.patch) (mm/memory.c:13)",
        "WARNING:LINE_SPACING: Missing a blank line (mm/memory.c:12)",
    )


def test_the_script_sees_the_patch_as_it_is(tmp_path: Path, cache: Cache) -> None:
    script = 'open F, "<", $ARGV[-1]; print "a:1: ERROR:X: ", unpack("H*", <F>), "\\n"; exit 1'
    (found,) = checkpatch.check(tree(tmp_path, script), series("+\udcff"), cache=cache, sandbox=Sandbox())
    assert found == "ERROR:X: 2bff (a:1)"


def test_a_clean_series_and_a_tree_without_the_script_say_nothing(tmp_path: Path, cache: Cache) -> None:
    assert checkpatch.check(tree(tmp_path, "exit 0"), series("x"), cache=cache, sandbox=Sandbox()) == ()
    (tmp_path / "scripts/checkpatch.pl").unlink()
    assert (
        checkpatch.check(
            Kernel("x", "6.1", "made here", "00", tmp_path), series("x"), cache=cache, sandbox=Sandbox()
        )
        == ()
    )


def test_a_script_that_dies_is_trouble_and_not_a_clean_series(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(InfrastructureError, match=r"checkpatch\.pl failed"):
        checkpatch.check(tree(tmp_path, "die 'no'"), series("x"), cache=cache, sandbox=Sandbox())


def test_nothing_changed_nothing_is_run(tmp_path: Path, cache: Cache) -> None:
    kernel = tree(tmp_path, SCRIPT)
    first = checkpatch.check(kernel, series("one"), cache=cache, sandbox=Sandbox())
    (tmp_path / "scripts/checkpatch.pl").write_text("die")
    assert checkpatch.check(kernel, series("one"), cache=cache, sandbox=Sandbox()) == first
    with pytest.raises(InfrastructureError):
        checkpatch.check(kernel, series("other"), cache=cache, sandbox=Sandbox())


def test_warnings_that_only_moved_are_not_new() -> None:
    base = ["mm/memory.c:10:5: warning: unused variable 'x'", "mm/rmap.c:1:1: warning: shadows"]
    moved, new = "mm/memory.c:40:9: warning: unused variable 'x'", "mm/memory.c:41:9: warning: unused variable 'y'"
    assert checkpatch.new_warnings(base, [moved, new]) == (new,)


def test_they_stand_beside_the_verdict(tmp_path: Path) -> None:
    style = tuple(f"ERROR:X: number {n} (a:{n})" for n in range(6))
    run = runs.run(tmp_path, ["LOOP"], ["PASS"])
    run = replace(run, checks=Checks(warnings=("mm/x.c:1:1: warning: \x1b[2J",), checkpatch=style))
    assert run.judgement is not None and run.judgement.verdict == "FIXES"
    shown = text.plain(run)
    assert "warnings mm/x.c:1:1: warning:" in shown and "\x1b" not in shown
    assert shown.count("style    ERROR:X") == 4 and "... and 2 more, in run.json" in shown
    assert document.document(run)["checks"]["checkpatch"] == list(style)
