# SPDX-License-Identifier: GPL-2.0-or-later
"""A night as a short mail, and as JSON. The first line is the subject; no line is longer than 71 columns."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.errors import ExitStatus
from harness.nights import BOOT, BUILD, DRIVER, LOG, Finding, Kind, Night
from harness.shown import few, one_line

SCHEMA = "faultloop/night/1"
WIDTH = 71
_TOLD = (Kind.NEW, Kind.MENDED, Kind.STILL, Kind.FLAKY, Kind.NOT_RUN)
_HEADS = {
    Kind.NEW: "New failures",
    Kind.MENDED: "Mended",
    Kind.STILL: "Still failing",
    Kind.FLAKY: "Flaky",
    Kind.NOT_RUN: "Not run",
}
_STAGES = {
    BUILD: "the kernel does not build",
    DRIVER: "the guest driver does not build: an interface of the kernel has moved",
    BOOT: "the kernel does not boot",
    LOG: "the kernel complains at boot",
}
_MOST = 12
"""Groups shown of a kind."""
_REASON = 200


def mail(night: Night) -> str:
    """Subject, an empty line, the text."""
    lines = [subject(night), "", *_fill(one_line(night.summary))]
    if night.already:
        return "\n".join([*lines, *_row("results", night.folder)]) + "\n"
    for kind in _TOLD:
        groups = _groups(night.of(kind))
        if groups:
            lines += ["", f"{_HEADS[kind]}:"]
            for text in groups[:_MOST]:
                lines += _fill(text, "  ")
            lines += [f"  ... and {len(groups) - _MOST} more"] if len(groups) > _MOST else []
    lines += ["", *_checks(night), "", *_about(night)]
    return "\n".join(lines) + "\n"


def subject(night: Night) -> str:
    """The first line: what it is about, and the result, in 71 columns."""
    ref = one_line(night.ref)[:32]
    if night.already:
        return f"faultloop: {ref}: nothing new"
    counts = [f"{_count(night, kind)} {kind}" for kind in _TOLD if night.of(kind)]
    head = "" if night.status != ExitStatus.UNDECIDED else "INCONCLUSIVE, "
    head = "HARNESS, " if night.status == ExitStatus.INFRASTRUCTURE else head
    return f"faultloop: {ref}: {head}{', '.join(counts) or 'clean'}"[:WIDTH].rstrip()


def sentence(night: Night) -> str:
    """The result in a sentence."""
    new = list(dict.fromkeys(_STAGES.get(f.path, f.path) for f in night.of(Kind.NEW)))
    if new:
        return f"new failures: {few(new)}"
    if night.status == ExitStatus.INFRASTRUCTURE:
        drift = any(f.path == DRIVER and f.kind is Kind.NOT_RUN for f in night.findings)
        return (
            f"nothing is said of this kernel: {_STAGES[DRIVER] if drift else 'trouble of the harness or the host'}"
        )
    if night.status == ExitStatus.UNDECIDED:
        why = [*night.faults, *(f"{f.path} {f.kind}" for k in (Kind.FLAKY, Kind.NOT_RUN) for f in night.of(k))]
        return f"inconclusive: {few(list(dict.fromkeys(why)), 4)}"
    still = list(dict.fromkeys(_STAGES.get(f.path, f.path) for f in night.of(Kind.STILL)))
    if still:
        return f"nothing new; {len(still)} known failures: {few(still)}"
    return f"clean: {_count(night, Kind.GOOD)} paths pass"


def dump(night: Night) -> str:
    """All of it as JSON."""
    made: dict[str, Any] = {"schema": SCHEMA, "exit_status": night.status, **asdict(night)}
    made["subject"] = subject(night)
    return json.dumps(made, indent=1, ensure_ascii=True) + "\n"


def _count(night: Night, kind: Kind) -> int:
    """Paths of a kind; a path on several setups counts once."""
    stages = () if kind is not Kind.GOOD else (BUILD, DRIVER, BOOT, LOG)
    return len({f.path for f in night.of(kind)} - set(stages))


def _groups(findings: Sequence[Finding]) -> list[str]:
    """A text for each path, its setups together; paths that were not run by the reason."""
    rows: dict[tuple[str, ...], list[Finding]] = {}
    for f in findings:
        alone = f.kind is not Kind.NOT_RUN or f.path in _STAGES
        key = (f.path if alone else "", str(f.outcome or ""), f.reason if not alone else "", f.since, f.found)
        rows.setdefault(key, []).append(f)
    return [_group(group) for group in rows.values()]


def _group(group: Sequence[Finding]) -> str:
    first = group[0]
    setups = few(list(dict.fromkeys(f.setup for f in group)))
    paths = few(list(dict.fromkeys(f.path for f in group)), 6)
    name = _STAGES.get(first.path, paths)
    outcome = f" {first.outcome}" if first.outcome and first.path not in _STAGES else ""
    told = {
        Kind.NEW: f"good on {first.since}" if first.since else "no earlier night judged it",
        Kind.STILL: "on every kernel so far" if first.known else f"since {first.since}",
        Kind.MENDED: f"failed since {first.since}",
    }.get(first.kind, "")
    text = f"{name}{outcome} ({setups})" + (f", {told}" if told else "")
    text += f": {first.reason[:_REASON]}" if first.reason else ""
    return one_line(text + (f" -- {first.found}" if first.found else ""))


def _checks(night: Night) -> list[str]:
    lines = []
    for fault in night.faults:
        lines += _row("WRONG", fault)
    teeth = night.teeth
    if teeth.patch and not teeth.faults:
        lines += _row("teeth", f"{teeth.patch}: {len(teeth.held)} of {len(teeth.held)} fail, as they must")
    for note in night.notes:
        lines += _row("note", note)
    lines += _row("patches", f"{night.fitting} of {night.fitting + len(night.drifted)} of the catalogue apply")
    for text in night.drifted:
        lines += _row("drifted", text[:_REASON])
    return lines


def _about(night: Night) -> list[str]:
    good, unneeded = _count(night, Kind.GOOD), len(night.of(Kind.NOT_NEEDED))
    against = f"{night.compared} nights, the last one {night.last}" if night.compared else "no earlier night"
    rows = [
        ("tree", night.tree + (f" {night.branch}" if night.branch else "")),
        ("commit", f"{night.commit} ({night.ref}, {night.version or 'not built'})"),
        ("against", against),
        ("passed", f"{good} paths" + (f"; {unneeded} do not apply" if unneeded else "")),
        ("took", f"{night.seconds / 60:.0f} min"),
        ("results", night.folder),
    ]
    return [line for name, text in rows for line in _row(name, text)]


def _row(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        one_line(text), WIDTH, initial_indent=f"{name:9}", subsequent_indent=" " * 9, break_on_hyphens=False
    )


def _fill(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
    )
