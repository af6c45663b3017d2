# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare what base and patched variant did, path by path, and say what the patch does (design.md, "Words").

Pure: takes records, gives a judgement. A verdict is never better than its weakest needed outcome: where a path
says nothing (SKIP, INVALID, ERROR) nothing good is concluded from the others, but a regression or a loop that is
still there stands whatever the rest says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from harness.errors import ExitStatus
from harness.model import (
    BTM_ON,
    CONTROLS,
    IOTLB_OFF,
    Change,
    Comparison,
    GuestRecord,
    Judgement,
    Outcome,
    PathResult,
    Splat,
    Verdict,
)
from harness.oracle import counters
from harness.shown import few

STATUS: Mapping[Verdict, ExitStatus] = {
    Verdict.FIXES: ExitStatus.FIXES,
    Verdict.PARTIAL: ExitStatus.NOT_FIXED,
    Verdict.NO_EFFECT: ExitStatus.NOT_FIXED,
    Verdict.REGRESSES: ExitStatus.NOT_FIXED,
    Verdict.BASE_UNAFFECTED: ExitStatus.UNDECIDED,
    Verdict.INCONCLUSIVE: ExitStatus.UNDECIDED,
}

_SEVERITY: Mapping[Outcome, int] = {
    Outcome.PASS: 0,
    Outcome.LOOP: 1,
    Outcome.STALE: 2,
    Outcome.SPLAT: 3,
    Outcome.HANG: 4,
    Outcome.CORRUPT: 5,
}

_MENDABLE = frozenset({Outcome.LOOP, Outcome.STALE, Outcome.CORRUPT})
_FOR_WANT_OF_INVALIDATION = frozenset({Outcome.LOOP, Outcome.STALE})
"""What the controls are about: it must not be there where nothing is cached."""


def change(base: PathResult, patched: PathResult) -> Change:
    """What became of one path."""
    if base.outcome.undecided or patched.outcome.undecided:
        skipped_alike = base.outcome is patched.outcome is Outcome.SKIP and base.reason == patched.reason
        return Change.NOT_NEEDED if skipped_alike else Change.UNDECIDED
    before, after = _SEVERITY[base.outcome], _SEVERITY[patched.outcome]
    if after > before or _new_splats(base.splats, patched.splats):
        return Change.WORSE
    if after == 0:
        return Change.MENDED if base.outcome in _MENDABLE else Change.SAME
    return Change.STILL


def compare(base: Iterable[GuestRecord], patched: Iterable[GuestRecord]) -> tuple[Comparison, ...]:
    """Pair the results of both variants by path and setup, in the order of the base's.

    A result that one side lacks (its guest did not get that far) is ERROR there, never left out.
    """
    after = {(r.path, r.setup): r for rec in patched for r in rec.results}
    before = {(r.path, r.setup): r for rec in base for r in rec.results}
    pairs = []
    for path, setup in list(before) + [k for k in after if k not in before]:
        b = before.get((path, setup)) or _missing(path, setup)
        p = after.get((path, setup)) or _missing(path, setup)
        pairs.append(Comparison(path, setup, b, p, change(b, p)))
    return tuple(pairs)


def judge(
    base: Sequence[GuestRecord],
    patched: Sequence[GuestRecord],
    *,
    controls: Sequence[GuestRecord] = (),
    unmended: Collection[str] = (),
) -> Judgement:
    """The verdict on a patch.

    ``controls`` are the base kernel's guests on other machines: :func:`controls_of`. A control that failed
    leaves the verdict open. ``unmended`` are paths that no kernel mends yet: to leave one as it was is noted, and
    does not make a fix of all others a partial one.
    """
    pairs = compare(base, patched)
    by_change = {c: [p for p in pairs if p.change is c] for c in Change}
    new_logs = _new_splats(_outside(base), _outside(patched))
    control_faults, notes = controls_of(base, controls, unmended)
    notes += [f"new in the kernel log, outside any path: {s.title}" for s in new_logs]
    notes += _cost(pairs)
    left = [p for p in by_change[Change.STILL] if p.path in unmended]
    by_change[Change.STILL] = [p for p in by_change[Change.STILL] if p.path not in unmended]
    if left:
        notes.append(f"not mended, as on every kernel so far (docs/findings.md): {_names(left)}")

    verdict, reason = _decide(pairs, by_change, new_logs)
    if control_faults and verdict is not Verdict.REGRESSES:
        verdict, reason = Verdict.INCONCLUSIVE, "control failed: " + "; ".join(control_faults)
    return Judgement(verdict, reason, pairs, tuple(notes))


def _decide(
    pairs: Sequence[Comparison], by_change: Mapping[Change, list[Comparison]], new_logs: Sequence[Splat]
) -> tuple[Verdict, str]:
    mended, still = by_change[Change.MENDED], by_change[Change.STILL]
    worse, undecided = by_change[Change.WORSE], by_change[Change.UNDECIDED]
    if worse or new_logs:
        what = [f"{_names(worse)} worse than on the base"] if worse else []
        what += [f"kernel log: {new_logs[0].title}"] if new_logs else []
        return Verdict.REGRESSES, "; ".join(what)
    if mended and still:
        return Verdict.PARTIAL, f"{_names(mended)} mended; {_names(still)} not"
    if undecided or not pairs:
        why = f"{_names(undecided)} undecided: {_why(undecided)}" if undecided else "no path was run"
        return Verdict.INCONCLUSIVE, why
    if mended:
        return Verdict.FIXES, f"{_names(mended)} mended; nothing worse"
    if still:
        return Verdict.NO_EFFECT, f"{_names(still)} as bad as on the base"
    return Verdict.BASE_UNAFFECTED, "no path that can be mended loops or goes stale on the base"


def controls_of(
    base: Sequence[GuestRecord], again: Sequence[GuestRecord], unmended: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Faults of the controls, and notes on loops that are not for want of an invalidation.

    ``again`` are the base's guests on other machines (model.CONTROLS), with the paths that loop on ``base``. A
    path that loops with the IOTLB off does so for another reason: then its other controls say nothing.
    """
    faults: list[str] = []
    notes: list[str] = []
    looping = [(r.path, rec.setup) for rec in base for r in rec.results if r.outcome in _FOR_WANT_OF_INVALIDATION]
    seen = {(rec.variant, rec.setup, r.path): r for rec in again for r in rec.results}
    for path, setup in sorted(looping):
        uncached = seen.get((IOTLB_OFF, setup, path))
        denied = uncached is not None and uncached.outcome in _FOR_WANT_OF_INVALIDATION
        if denied:
            notes.append(
                f"{path} on {setup} loops with the IOTLB off as well: the page table itself denies the "
                "access, this is not a missing invalidation"
            )
        for variant in {rec.variant: None for rec in again if rec.setup == setup}:
            if variant == BTM_ON and path in unmended:
                continue  # jobs/controls.py says why
            result = seen.get((variant, setup, path))
            if result is None or result.outcome.undecided or result.outcome is Outcome.HANG:
                why = f"{result.outcome}: {result.reason}" if result else "not run"
                faults.append(f"{path} on {setup} {CONTROLS[variant]}: {why}")
            elif result.outcome in _FOR_WANT_OF_INVALIDATION and not denied:
                faults.append(f"{path} on {setup} {CONTROLS[variant]}: {result.outcome} as without")
    return faults, notes


def audit_notes(records: Iterable[GuestRecord]) -> tuple[str, ...]:
    """Warnings of the IOTLB audit (facts of guest-tests/workloads/proof.c).

    An entry that permits less than its page table did no harm in a path that passed: the next fault heals it. But
    it should not be there, unless a CPU that sets dirty bits by itself made the page writable.
    """
    notes = []
    for result in (r for record in records for r in record.results):
        by_hardware = result.facts.get("upgraded_by") == "hardware"
        left = [w for w in ("operation", "end") if result.facts.get(f"restrictive_{w}", "0") != "0"]
        if by_hardware and "operation" in left:
            left.remove("operation")
        if left and result.outcome is Outcome.PASS:
            where = " and ".join({"operation": "after the operation", "end": "at the end"}[w] for w in left)
            notes.append(f"{result.path} on {result.setup}: {where} the IOTLB permits less than the page table")
    return tuple(notes)


def _names(pairs: Sequence[Comparison]) -> str:
    """Paths once each, not too many, with the setups named only where they differ from path to path."""
    setups: dict[str, list[str]] = {}
    for c in pairs:
        setups.setdefault(c.path, []).append(c.setup)
    same = len({tuple(s) for s in setups.values()}) == 1
    return few([p if same else f"{p} ({', '.join(s)})" for p, s in setups.items()])


def _why(pairs: Sequence[Comparison]) -> str:
    reasons = []
    for c in pairs:
        for side, result in (("base", c.base), ("patched", c.patched)):
            if result.outcome.undecided:
                reasons.append(f"{side} {result.outcome}: {result.reason}")
    return "; ".join(dict.fromkeys(reasons))


def _cost(pairs: Sequence[Comparison]) -> list[str]:
    """A count of invalidations does not tell how much each one took away, nor who else had to hear of it."""
    notes = []
    # What the base did not do at all has no price there.
    pairs = [c for c in pairs if c.base.outcome is not Outcome.CORRUPT]
    more = sum(c.patched.tlbi_wide - c.base.tlbi_wide for c in pairs)
    if more > 0:
        notes.append(
            f"cost: {more} invalidations of whole address spaces more than the base; each costs the device all "
            "translations of a process"
        )
    # A path that still loops asks again and again: its count says nothing.
    calls = {
        c.path: (_starts(c.base), _starts(c.patched))
        for c in pairs
        if c.patched.outcome is Outcome.PASS and _starts(c.patched) > _starts(c.base)
    }
    if calls:
        told = ", ".join(f"{path} ({before} to {after})" for path, (before, after) in calls.items())
        notes.append(
            f"cost: every other subscriber of the start and end kind, as KVM is one, is called more often: {told}"
        )
    return notes


def _starts(result: PathResult) -> int:
    """Calls that a second subscriber got in the window."""
    return counters.number(result.facts, "subscriber_starts")


def _outside(records: Iterable[GuestRecord]) -> list[Splat]:
    return [s for r in records for s in r.boot_splats]


def _new_splats(base: Iterable[Splat], patched: Iterable[Splat]) -> list[Splat]:
    """Splats of a kind and place that the base does not show."""
    known = {_place(s) for s in base}
    return [s for s in patched if _place(s) not in known]


def _place(splat: Splat) -> tuple[str, str]:
    """Kind and place, without what changes from run to run (addresses, PIDs, CPU numbers)."""
    words = [w for w in splat.title.split() if not any(ch.isdigit() for ch in w)]
    return splat.kind, " ".join(words)


def _missing(path: str, setup: str) -> PathResult:
    return PathResult(path, setup, Outcome.ERROR, reason="no result was recorded")
