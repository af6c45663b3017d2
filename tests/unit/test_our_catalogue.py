# SPDX-License-Identifier: GPL-2.0-or-later
"""`faultloop catalogue`: what counts as expected, how a patch goes on a newer kernel, trouble with one of many."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BuildError, ExitStatus, InfrastructureError, UserError
from harness.expected import Applied, Expectation, Fit, Result, Tried
from harness.jobs import catalogue as job
from harness.jobs.test_patch import Request
from harness.model import Kernel, Outcome, Patch, Run, Series, Splat, Verdict
from harness.oracle import expectation
from harness.report import catalogue as report
from harness.sources.patch_input import Given
from tests.unit import runs

ROW = Expectation(
    file="one.patch",
    base="6.1",
    title="t",
    approach="a",
    verdict=Verdict.PARTIAL,
    mends=frozenset({"a"}),
    leaves=frozenset({"b"}),
    breaks=frozenset(),
    loops=frozenset({"a", "b"}),
    skips=frozenset(),
    splat="",
    end="POWEROFF",
    thread="",
    reason="r",
)
LINES = [f"line {n}\n" for n in range(40)]


def run(folder: Path, *patched: str) -> Run:
    return runs.run(folder, ["LOOP", "LOOP", "PASS"], list(patched))


def with_counts(made: Run, path: str, tlbi: int, asid: int) -> Run:
    """The same, but for what the patched kernel sends on one path."""
    assert made.judgement is not None
    pairs = tuple(
        replace(c, patched=replace(c.patched, tlbi=tlbi, tlbi_wide=asid)) if c.path == path else c
        for c in made.judgement.comparisons
    )
    return replace(made, judgement=replace(made.judgement, comparisons=pairs))


def test_all_as_expected(tmp_path: Path) -> None:
    held = expectation.hold(ROW, run(tmp_path, "PASS", "LOOP", "PASS"))
    assert held == (Result.AS_EXPECTED, (), ())


def test_a_path_that_was_mended_against_expectation(tmp_path: Path) -> None:
    held = expectation.hold(ROW, run(tmp_path, "PASS", "PASS", "PASS"))
    assert held.result is Result.DIFFERS and held.paths == ("b",)
    assert held.differences[0].startswith("FIXES: ")
    assert held.differences[1].startswith("b on cortex-a57, patched: PASS, LOOP was expected")


def test_a_base_that_no_longer_loops(tmp_path: Path) -> None:
    made = runs.run(tmp_path, ["PASS", "LOOP", "PASS"], ["PASS", "LOOP", "PASS"])
    held = expectation.hold(ROW, made)
    assert held.result is Result.DIFFERS
    assert any(text.startswith("a on cortex-a57, base: PASS, LOOP was expected") for text in held.differences)


def test_what_says_nothing_is_undecided_and_what_differs_beside_it_stands(tmp_path: Path) -> None:
    open_only = expectation.hold(replace(ROW, verdict=Verdict.FIXES), run(tmp_path, "INVALID", "LOOP", "PASS"))
    assert (open_only.result, open_only.paths) == (Result.UNDECIDED, ("a",))
    worse = expectation.hold(ROW, run(tmp_path, "INVALID", "LOOP", "LOOP"))
    assert worse.result is Result.DIFFERS and worse.paths == ("a", "c")


@pytest.mark.parametrize(
    ("tlbi", "asid", "seen"), [(3, 1, "none"), (4, 1, "va"), (4, 2, "asid")], ids=["none", "va", "asid"]
)
@pytest.mark.parametrize("expected", ["none", "va", "asid"])
def test_cost_of_an_upgrade(tmp_path: Path, tlbi: int, asid: int, seen: str, expected: str) -> None:
    made = run(tmp_path, "PASS", "LOOP", "PASS")
    assert made.judgement is not None
    base = tuple(replace(c, base=replace(c.base, tlbi_wide=1)) for c in made.judgement.comparisons)
    made = with_counts(replace(made, judgement=replace(made.judgement, comparisons=base)), "a", tlbi, asid)
    held = expectation.hold(replace(ROW, cost=expected), made)
    if seen == expected:
        assert held.result is Result.AS_EXPECTED
    else:
        assert held.differences == (f"a on cortex-a57: costs {seen}, {expected} was expected",)
        assert held.paths == ("a",)


def test_no_cost_is_read_from_a_path_whose_counts_depend_on_time(tmp_path: Path) -> None:
    made = with_counts(run(tmp_path, "PASS", "LOOP", "PASS"), "a", 9, 0)
    assert expectation.hold(replace(ROW, cost="none"), made).paths == ("a",)
    row = replace(ROW, cost="none", uncounted=frozenset({"a"}))
    assert expectation.hold(row, made).result is Result.AS_EXPECTED


def test_the_splat_and_the_end_are_looked_for(tmp_path: Path) -> None:
    row = replace(ROW, verdict=Verdict.REGRESSES, splat="WARNING: ", end="PANIC")
    held = expectation.hold(row, run(tmp_path, "PASS", "LOOP", "SPLAT"))
    assert held.differences == (
        "patched on cortex-a57: the log does not say 'WARNING: '",
        "patched on cortex-a57: ended by POWEROFF, PANIC was expected",
    )
    made = run(tmp_path, "PASS", "LOOP", "SPLAT")
    patched = made.records[1]
    splats = tuple(replace(s, text="WARNING: at mm\n trace") for s in patched.results[2].splats)
    results = (*patched.results[:2], replace(patched.results[2], splats=splats))
    made = replace(made, records=(made.records[0], replace(patched, results=results, end="PANIC")))
    assert expectation.hold(row, made).result is Result.AS_EXPECTED


def test_a_base_whose_log_is_not_clean(tmp_path: Path) -> None:
    made = run(tmp_path, "PASS", "LOOP", "PASS")
    base = replace(made.records[0], boot_splats=(Splat("warning", "WARNING: at mm", "trace", 7),))
    held = expectation.hold(ROW, replace(made, records=(base, *made.records[1:])))
    assert held.differences == ("base on cortex-a57: kernel log: WARNING: at mm",)


ROWS = [
    replace(ROW, file=f"{name}.patch", base=base)
    for name, base in [("6.1-one", "6.1"), ("6.1-two", "6.1"), ("6.12-one", "6.12")]
]
ROWS[1] = replace(ROWS[1], also=("newest",))


@pytest.mark.parametrize(
    ("names", "series", "found"),
    [
        ([], "", ["6.1-one", "6.1-two", "6.12-one"]),
        (["*-one"], "", ["6.1-one", "6.12-one"]),
        (["6.1-two.patch,6.1-one"], "", ["6.1-one", "6.1-two"]),
        ([], "newest", ["6.1-two"]),
        (["*-one"], "6.12", ["6.12-one"]),
    ],
)
def test_rows_are_chosen(names: list[str], series: str, found: list[str]) -> None:
    assert [row.name for row in job.select(ROWS, names, series)] == found


def test_a_name_that_is_none() -> None:
    with pytest.raises(UserError, match=r"called '6\.1-tow'; did you mean 6\.1-two"):
        job.select(ROWS, ["6.1-tow"], "")
    with pytest.raises(UserError, match=r"kernel '5\.10'; series: 6\.1, 6\.12, newest"):
        job.select(ROWS, [], "5.10")


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([Result.AS_EXPECTED, Result.APPLIES], ExitStatus.FIXES),
        ([Result.AS_EXPECTED, Result.UNDECIDED], ExitStatus.UNDECIDED),
        ([Result.UNDECIDED, Result.ERROR], ExitStatus.INFRASTRUCTURE),
        ([Result.ERROR, Result.DRIFTED], ExitStatus.NOT_FIXED),
        ([Result.ERROR, Result.DIFFERS], ExitStatus.NOT_FIXED),
    ],
)
def test_status(results: list[Result], status: ExitStatus) -> None:
    assert job.status([Tried(ROW, result) for result in results]) is status


def series(*context: str, at: int = 10) -> Series:
    """A patch that changes line 12, and expects ``context`` around it."""
    body = "".join(f" {text}" for text in context[:3]) + "-line 12\n+new\n"
    body += "".join(f" {text}" for text in context[3:])
    diff = f"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -{at},7 +{at},7 @@\n{body}"
    return Series((Patch("t", diff, source="one.patch:1", files=("x",), hunks=(4,)),), "t")


SERIES = series(*LINES[9:12], *LINES[13:16])


class Shop:
    """Has the patch, and kernels whose file x is as given; one that is not given cannot be had."""

    progress = property(lambda self: self)

    def __init__(self, folder: Path, **trees: list[str]) -> None:
        self.kernels = {}
        for name, lines in trees.items():
            tree = folder / name
            tree.mkdir()
            (tree / "x").write_text("".join(lines))
            self.kernels[name] = Kernel(name, "1.2.3", "o", "d", tree)

    def patches(self, *_: object, **__: object) -> Given:
        return Given(SERIES)

    def kernel(self, name: str) -> Kernel:
        if name not in self.kernels:
            raise InfrastructureError(f"{name}: no network")
        return self.kernels[name]

    def say(self, _: str) -> None:
        pass


@pytest.mark.parametrize(
    ("lines", "fit", "note"),
    [
        (LINES, Fit.EXACT, "every hunk fits at its line"),
        (["new\n", "new\n", *LINES], Fit.MOVED, "lines moved: x hunk 1 by +2"),
        ([*LINES[:9], "other\n", *LINES[10:]], Fit.FUZZ, "would apply with 2 lines of context: make it anew"),
        ([*LINES[:10], "other\n", *LINES[11:]], Fit.FUZZ, "would apply with 1 line of context: make it anew"),
        ([*LINES[:11], "other\n", *LINES[12:]], Fit.NONE, "hunk 1 of 1 of x: the nearest place is line 10"),
        ([*LINES[:12], "new\n", *LINES[13:]], Fit.NONE, "is in the tree already"),
        (["new\n", *LINES, *LINES], Fit.LOOSE, "x: hunk 1 moved, and fits at 2 places"),
    ],
    ids=["exact", "moved", "fuzz 2", "fuzz 1", "none", "already", "two places"],
)
def test_how_a_patch_goes_on_a_kernel(tmp_path: Path, lines: list[str], fit: Fit, note: str) -> None:
    shop = Shop(tmp_path, newest=lines)
    applied = job.apply(shop.kernel("newest"), SERIES)
    assert applied.fit is fit and note in applied.note
    assert fit.drifted == (fit not in (Fit.EXACT, Fit.MOVED))


Walk = Callable[..., list[Tried]]


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Walk:
    """``catalogue()`` with rows and the outcome of each run given; an exception is raised in its place."""

    def walk(shop: Shop, rows: list[Expectation], *results: Run | Exception, **words: object) -> list[Tried]:
        left = list(results)

        def run_series(request: Request, *_: object) -> tuple[Run, Path]:
            result = left.pop(0)
            if isinstance(result, Exception):
                raise result
            assert request.kernel in shop.kernels
            return result, Path("results/x")

        monkeypatch.setattr(job, "load", lambda: tuple(rows))
        monkeypatch.setattr(job, "run_series", run_series)
        kernel = str(words.pop("kernel", ""))
        tried = job.catalogue(Request(kernel=kernel), shop, **words)  # type: ignore[arg-type]
        assert not left
        return tried

    return walk


def test_trouble_with_one_does_not_stop_the_others(walk: Walk, tmp_path: Path) -> None:
    shop = Shop(tmp_path, **{"6.1": LINES})
    rows = [ROW, ROW, replace(ROW, base="6.12"), ROW]
    good = run(tmp_path, "PASS", "LOOP", "PASS")
    tried = walk(shop, rows, InfrastructureError("disk full"), BuildError("x.c: no", detail="x.c:3"), good)
    assert [one.result for one in tried] == [Result.ERROR, Result.DIFFERS, Result.ERROR, Result.AS_EXPECTED]
    assert tried[1].differences == ("x.c: no",) and tried[1].detail == "x.c:3"
    assert tried[2].differences == ("6.12: no network",)
    assert tried[3].folder == Path("results/x")


def test_an_interruption_stops_all(walk: Walk, tmp_path: Path) -> None:
    class Interrupted(Shop):
        def kernel(self, name: str) -> Kernel:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        walk(Interrupted(tmp_path), [ROW, ROW])


def test_drift_builds_nothing_and_looks_at_each_series(walk: Walk, tmp_path: Path) -> None:
    shop = Shop(tmp_path, **{"6.1": LINES, "6.12": ["a\n", *LINES], "newest": LINES[20:]})
    rows = [replace(ROW, also=("6.12",)), replace(ROW, also=("newest",))]
    tried = walk(shop, rows, drift=True)
    assert [one.result for one in tried] == [Result.APPLIES, Result.DRIFTED]
    assert [[a.fit for a in one.applied] for one in tried] == [[Fit.EXACT, Fit.MOVED], [Fit.EXACT, Fit.NONE]]
    only = walk(shop, rows, drift=True, kernel="newest")
    assert [[a.kernel.name for a in one.applied] for one in only] == [["newest"]]


def test_a_patch_is_run_on_its_base_only(walk: Walk, tmp_path: Path) -> None:
    shop = Shop(tmp_path, **{"6.1": LINES, "6.12": LINES})
    (one,) = walk(shop, [replace(ROW, also=("6.12",))], kernel="6.12")
    assert (one.result, one.verdict) == (Result.APPLIES, None)


def test_what_does_not_apply_is_not_run_and_what_drifted_elsewhere_is(walk: Walk, tmp_path: Path) -> None:
    shop = Shop(tmp_path, **{"6.1": LINES, "newest": LINES[20:]})
    good = run(tmp_path, "PASS", "LOOP", "PASS")
    tried = walk(shop, [replace(ROW, base="newest"), replace(ROW, also=("newest",))], good)
    assert [one.result for one in tried] == [Result.DRIFTED, Result.DRIFTED]
    assert [one.verdict for one in tried] == [None, Verdict.PARTIAL]
    bad = walk(shop, [replace(ROW, also=("newest",))], run(tmp_path, "PASS", "PASS", "PASS"))
    assert bad[0].result is Result.DIFFERS


def shown(*tried: Tried) -> list[list[str]]:
    stream = io.StringIO()
    report.show(tried, stream)
    assert "\x1b" not in stream.getvalue()
    return [line.split() for line in stream.getvalue().splitlines()]


KERNEL = Kernel("newest", "7.3.4", "o", "d", Path("/src"))


def test_the_table(tmp_path: Path) -> None:
    held = Tried(ROW, Result.AS_EXPECTED, (Applied(runs.KERNEL, Fit.EXACT, ""),), Verdict.PARTIAL)
    other = replace(held, result=Result.DIFFERS, verdict=Verdict.FIXES, differences=("why",), paths=("b", "c"))
    lines = shown(held, replace(other, folder=Path("results/x")))
    assert ["one", "6.1", "(6.1.192)", "exact", "PARTIAL", "PARTIAL", "as", "expected"] in lines
    assert ["one", "6.1", "(6.1.192)", "exact", "PARTIAL", "FIXES", "differs", "b,", "c"] in lines
    assert ["differs", "why"] in lines and ["results", "results/x"] in lines
    assert lines[-1] == ["RESULT", "1", "as", "expected,", "1", "differs"]


def test_drift_in_the_table() -> None:
    bad = Applied(KERNEL, Fit.NONE, f"hunk 1 {runs.HOSTILE}", "12 | line")
    lines = shown(Tried(ROW, Result.DRIFTED, (Applied(runs.KERNEL, Fit.MOVED, "by 2"), bad)))
    assert ["one", "6.1", "(6.1.192)", "moved", "drifted"] in lines
    assert ["newest", "(7.3.4)", "no"] in lines
    assert ["moved", "6.1", "(6.1.192):", "by", "2"] in lines
    assert ["drift", "newest", "(7.3.4):", "hunk", "1"] in [line[:5] for line in lines]
    assert ["12", "|", "line"] in lines


def test_a_flaw_is_told_with_the_verdict_that_hides_it() -> None:
    row = replace(ROW, flaw="a race")
    assert ["flaw", "a", "race"] in shown(Tried(row, Result.AS_EXPECTED, (), Verdict.FIXES))
    assert ["flaw", "a", "race"] not in shown(Tried(row, Result.APPLIES))


def test_the_document() -> None:
    one = Tried(ROW, Result.ERROR, (Applied(KERNEL, Fit.FUZZ, "n", "d"),), differences=("e",))
    told = json.loads(report.dump([one], 4))
    assert (told["schema"], told["exit_status"]) == ("faultloop/catalogue/1", 4)
    (patch,) = told["patches"]
    assert (patch["patch"], patch["result"], patch["got"], patch["results"]) == ("one.patch", "error", None, None)
    assert patch["applies"][0]["fit"] == "fuzz" and patch["differences"] == ["e"]


def test_outcomes_that_a_splat_stands_for() -> None:
    assert replace(ROW, splat="BUG").patched_outcome("a", "s") is None
    assert ROW.patched_outcome("b", "s") is Outcome.LOOP


def test_an_outcome_that_is_left_to_chance() -> None:
    row = replace(ROW, chance=frozenset({"b@s"}))
    assert row.patched_outcome("b", "s") is None
    assert row.patched_outcome("b", "t") is Outcome.LOOP
