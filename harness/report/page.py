# SPDX-License-Identifier: GPL-2.0-or-later
"""What the page of a run shows, in order and in words; the template only sets it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.model import CONTROLS, Change, Outcome, Verdict, Workload
from harness.report.costs import Cost, costs_of
from harness.report.evidence import Evidence
from harness.report.figure import Figure, draw
from harness.report.schema import Result, Row, RunFile

MEANING = {
    Verdict.FIXES: "Some paths loop or are stale on the base, none afterwards but what no kernel mends yet, and "
    "nothing else is worse.",
    Verdict.PARTIAL: "Some paths are mended, some are not.",
    Verdict.NO_EFFECT: "The base loops, and so does the patched kernel.",
    Verdict.REGRESSES: "A path, or the kernel's log, is worse than on the base.",
    Verdict.BASE_UNAFFECTED: "Nothing that can be mended loops on this base: the patch cannot be judged by it.",
    Verdict.INCONCLUSIVE: "An outcome that is needed is missing, or a control failed.",
}
TONE = {Verdict.FIXES: "good", Verdict.BASE_UNAFFECTED: "open", Verdict.INCONCLUSIVE: "open"}

OUTCOMES = {
    Outcome.PASS: ("pass", "the device got through, with every precondition proven"),
    Outcome.LOOP: ("loop", "it stalled to its bound on one page and made no progress: counted, not timed"),
    Outcome.STALE: ("stale", "it used, or the IOTLB holds, a translation that the page tables no longer allow"),
    Outcome.CORRUPT: ("hard", "wrong data"),
    Outcome.SPLAT: ("hard", "kernel warning, oops, lockdep, panic"),
    Outcome.HANG: ("hard", "no more progress"),
    Outcome.INVALID: ("open", "a precondition did not hold: not a pass"),
    Outcome.ERROR: ("open", "trouble of the harness: says nothing about the kernel"),
    Outcome.SKIP: ("skip", "does not apply here"),
}
"""Outcome -> style, meaning; best first within what says something."""

FAMILIES = {
    "A": "raised in place",
    "B": "another page",
    "C": "taken away",
    "D": "swapped or written back",
    "E": "never allowed",
    "F": "mirrored by another device",
}

_ORDER = [Change.WORSE, Change.STILL, Change.UNDECIDED, Change.MENDED, Change.SAME, Change.NOT_NEEDED]
_SAID = {Change.SAME: "pass on both"}
_SEVERITY = [
    Outcome.CORRUPT,
    Outcome.HANG,
    Outcome.SPLAT,
    Outcome.STALE,
    Outcome.LOOP,
    Outcome.ERROR,
    Outcome.INVALID,
    Outcome.SKIP,
    Outcome.PASS,
]
_MESSAGE_ID = re.compile(r"<?([A-Za-z0-9._+=-]{1,200}@[A-Za-z0-9._-]{1,100})>?")
_SHOWN = {"stalls", "retries", "tlbi", "notifier_calls", "pte_before", "pte_after", "iotlb_before", "iotlb_after"}
"""Facts that have a column of their own."""
_HASH = re.compile(r",? sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Cell:
    """An outcome and its counts."""

    outcome: Outcome
    style: str
    rank: int
    counts: str
    """``50 / 0 / 0``: stalls, TLBI, notifier calls."""
    spoken: str


@dataclass(frozen=True, slots=True)
class Number:
    """A fact or a counter on each variant."""

    name: str
    values: tuple[str, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """The page's entry at one moment."""

    variant: str
    when: str
    pte: str
    means: str
    iotlb: str


@dataclass(frozen=True, slots=True)
class Side:
    """One variant's result of a path in a setup."""

    variant: str
    cell: Cell
    result: Result
    ktap: str
    log: str
    console: str


@dataclass(frozen=True, slots=True)
class Detail:
    """One path in one setup."""

    setup: str
    change: str
    sides: tuple[Side, ...]
    entries: tuple[Entry, ...]
    figure: Figure | None
    numbers: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Path:
    """One path in all setups."""

    name: str
    workload: Workload
    state: str
    rank: int
    number: int
    cells: tuple[Cell | None, ...]
    outcomes: tuple[str, ...]
    details: tuple[Detail, ...]
    command: str
    known: str
    """What is known to mend it."""


@dataclass(frozen=True, slots=True)
class Page:
    """All of it."""

    run: RunFile
    tone: str
    word: str
    meaning: str
    facts: tuple[tuple[str, str], ...]
    links: Mapping[str, str]
    """Message-ID -> where the list keeps it."""
    versions: tuple[tuple[str, str], ...]
    command: str
    """Repeats the run, in its folder."""
    setups: tuple[str, ...]
    variants: tuple[str, ...]
    tally: tuple[tuple[str, int], ...]
    outcomes: tuple[str, ...]
    families: tuple[str, ...]
    paths: tuple[Path, ...]
    costs: tuple[Cost, ...]
    even: int
    """Paths whose costs the patch leaves as they were."""
    timed: bool
    """There is a timeline of some path."""
    clocks: tuple[tuple[str, str], ...]


def build(run: RunFile, evidence: Evidence) -> Page:
    """The page of ``run``."""
    variants = ("base", "patched") if run.builds.patched else ("base",)
    setups = tuple(dict.fromkeys(row.setup for row in run.paths))
    paths = _paths(run, evidence, setups, variants)
    states = list(dict.fromkeys(p.state for p in sorted(paths, key=lambda p: p.rank)))
    costs, even = costs_of(run.paths, len(setups))
    return Page(
        run=run,
        tone=TONE.get(run.verdict, "bad") if run.verdict else {0: "good", 3: "open"}.get(run.exit_status, "bad"),
        word=str(run.verdict) if run.verdict else {0: "CLEAN", 3: "UNDECIDED"}.get(run.exit_status, "AFFECTED"),
        meaning=MEANING[run.verdict] if run.verdict else "",
        facts=tuple(_facts(run)),
        links=_links(run),
        versions=tuple(_versions(run)),
        command=shlex.join(["./faultloop", *(word.removeprefix("{here}/") for word in run.command)]),
        setups=setups,
        variants=variants,
        tally=tuple((state, sum(p.state == state for p in paths)) for state in states),
        outcomes=tuple(str(o) for o in OUTCOMES if any(str(o) in p.outcomes for p in paths)),
        families=tuple(sorted({p.workload.family for p in paths if p.workload.family})),
        paths=tuple(sorted(paths, key=lambda p: (p.rank, p.number))),
        costs=costs,
        even=even,
        timed=any(d.figure for p in paths for d in p.details),
        clocks=tuple(_clocks(run, evidence)),
    )


def _paths(run: RunFile, evidence: Evidence, setups: Sequence[str], variants: Sequence[str]) -> list[Path]:
    workloads = {w.path: w for w in run.workloads}
    rows: dict[str, dict[str, Row]] = {}
    for row in run.paths:
        rows.setdefault(row.path, {})[row.setup] = row
    found = []
    for number, (name, mine) in enumerate(rows.items()):
        cells = tuple(
            _cell(mine[setup].results()[variant]) if setup in mine and variant in mine[setup].results() else None
            for setup in setups
            for variant in variants
        )
        state, rank = _state(mine.values())
        found.append(
            Path(
                name=name,
                workload=workloads.get(name, Workload(name, "", "")),
                state=state,
                rank=rank,
                number=number,
                cells=cells,
                outcomes=tuple(dict.fromkeys(str(c.outcome) for c in cells if c)),
                details=tuple(_detail(row, evidence) for row in mine.values()),
                command=_command(run, name),
                known=run.mended.get(name, ""),
            )
        )
    return found


def _state(rows: Iterable[Row]) -> tuple[str, int]:
    """What became of a path in the setup where it went worst."""
    rows = list(rows)
    changes = [row.change for row in rows if row.change is not None]
    if changes:
        worst = min(changes, key=_ORDER.index)
        return _SAID.get(worst, str(worst)), _ORDER.index(worst)
    outcome = min((row.base.outcome for row in rows), key=_SEVERITY.index)
    return str(outcome), _SEVERITY.index(outcome)


def _cell(result: Result) -> Cell:
    outcome = result.outcome
    counted = bool(result.facts) or outcome in (Outcome.PASS, Outcome.LOOP, Outcome.STALE)
    counts = f"{result.stalls} / {result.tlbi} / {result.notifier_calls}" if counted else ""
    spoken = f"{result.stalls} stalls, {result.tlbi} TLBI, {result.notifier_calls} calls" if counted else ""
    return Cell(outcome, OUTCOMES[outcome][0], _SEVERITY.index(outcome), counts, spoken)


def _detail(row: Row, evidence: Evidence) -> Detail:
    results = row.results()
    sides = []
    known: list[str] = []
    for variant, result in results.items():
        log, console = evidence.excerpt(variant, row.setup, row.path, result.splats)
        ktap = evidence.ktaps.get((variant, row.setup, row.path), "") if variant not in CONTROLS else ""
        points = _points(ktap, known)
        known = known or points
        said = console if variant not in CONTROLS or result.outcome.bad else ""
        sides.append(Side(CONTROLS.get(variant, variant), _cell(result), result, "\n".join(points), log, said))
    timelines = [
        (variant, timeline)
        for variant in ("base", "patched")
        if variant in results and (timeline := evidence.timeline(variant, row.setup, row.path)) is not None
    ]
    return Detail(
        setup=row.setup,
        change=str(row.change or ""),
        sides=tuple(sides),
        entries=tuple(_entries(row, evidence)),
        figure=draw(timelines),
        numbers=tuple(_numbers(list(results.values()))),
    )


def _points(ktap: str, known: Sequence[str]) -> list[str]:
    """What a workload proved; of that what is ``known`` of the base already is only counted."""
    points = [line for line in ktap.splitlines() if line.startswith(("ok ", "not ok "))]
    same = sum(point in known for point in points)
    return [*([f"{same} points as on the base"] if same else []), *(p for p in points if p not in known)]


def _entries(row: Row, evidence: Evidence) -> Iterable[Entry]:
    """The timeline's views; without one, what the workload told."""
    for variant, result in row.results().items():
        if variant in CONTROLS:
            continue
        timeline = evidence.timeline(variant, row.setup, row.path)
        if timeline and timeline.views:
            yield from (Entry(variant, v.when, v.pte, v.means, v.iotlb) for v in timeline.views)
            continue
        for when in ("before", "after"):
            pte, iotlb = result.facts.get(f"pte_{when}", ""), result.facts.get(f"iotlb_{when}", "")
            if pte or iotlb:
                yield Entry(variant, when, pte, "", iotlb)


def _numbers(results: Sequence[Result]) -> Iterable[Number]:
    """Facts and counters that are not 0 everywhere, and not shown above."""
    facts = [name for name in dict.fromkeys(name for r in results for name in r.facts) if name not in _SHOWN]
    counters = list(dict.fromkeys(name for r in results for name in r.counters))
    rows = [(name, [r.facts.get(name, "") for r in results]) for name in facts]
    rows += [(f"SMMU {name}", [str(r.counters.get(name, 0)) for r in results]) for name in counters]
    for name, values in rows:
        if set(values) - {"0", ""}:
            yield Number(name, tuple(values), len(set(values)) > 1)


def _facts(run: RunFile) -> Iterable[tuple[str, str]]:
    if run.patch:
        if len(run.patch.patches) != 1 or run.patch.title != run.patch.patches[0].subject:
            yield "Series", run.patch.title
        for patch in run.patch.patches:
            yield "Patch", patch.subject + (f", by {patch.author}" if patch.author else "")
            if patch.message_id:
                yield "Message-ID", patch.message_id
    origin = _HASH.sub("", run.kernel.origin)
    why = f"; {run.base_why}" if run.base_why else ""
    yield ("Base" if run.patch else "Kernel"), f"Linux {run.kernel.version}, {origin}{why}"
    if run.builds.patched:
        yield "Rebuilt", f"{run.builds.patched.objects} objects of {run.builds.base.objects}"
    yield "Machine", f"{', '.join(run.setups)}; {run.emulator.version}, an SMMUv3 without BTM"
    controls = list(dict.fromkeys(g.variant for g in run.guests if g.variant in CONTROLS))
    if controls:
        yield "Controls", "; ".join(f"base {CONTROLS[c]}: {_control(run, c)}" for c in controls)
    yield "Run", f"{run.started}, {run.seconds:.0f} s"


def _control(run: RunFile, control: str) -> str:
    outcomes = [o for g in run.guests if g.variant == control for o in g.outcomes.values()]
    counts = [(o, outcomes.count(o)) for o in OUTCOMES if o in outcomes]
    return ", ".join(f"{count} {outcome}" for outcome, count in counts)


def _links(run: RunFile) -> dict[str, str]:
    found = {}
    for patch in run.patch.patches if run.patch else ():
        known = _MESSAGE_ID.fullmatch(patch.message_id)
        if known:
            found[patch.message_id] = f"https://lore.kernel.org/r/{known[1]}"
    return found


def _versions(run: RunFile) -> Iterable[tuple[str, str]]:
    yield "faultloop", run.faultloop
    yield "kernel source", run.kernel.origin if _HASH.search(run.kernel.origin) else run.kernel.sha256
    yield "base image", run.builds.base.image_sha256
    if run.builds.patched:
        yield "patched image", run.builds.patched.image_sha256
    yield "emulator", run.emulator.origin
    for package in run.guest.packages:
        yield "guest package", package


def _clocks(run: RunFile, evidence: Evidence) -> Iterable[tuple[str, str]]:
    for guest in run.guests:
        clock = evidence.clock(guest.variant, guest.setup)
        if clock is not None and clock.offset_ns is not None:
            said = f"guest's clock + {clock.offset_ns} ns, ± {clock.uncertainty_ns} ns, {clock.samples} samples"
            yield f"{guest.variant} on {guest.setup}", f"{said}; {clock.how}" if clock.how else said


def _command(run: RunFile, path: str) -> str:
    """The command that runs this path alone, with the patch as the reader has it."""
    words: list[str] = []
    skip = False
    for word in run.command:
        if skip:
            skip = False
        elif word == "--workloads":
            skip = True
        elif word != "--fresh":
            words.append("series.patch" if word == "{here}/series.patch" else word)
    return shlex.join(["./faultloop", *words, "--workloads", path])
