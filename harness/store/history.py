# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes into the history, and what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Insert, func, insert, or_, select

from harness.model import Kernel, Outcome, PathResult
from harness.nights import BOOT, BUILD, DRIVER, LOG, Finding, Key, Kind, Past, Seen
from harness.past import KeptGuest, KeptRun, Point, Stage
from harness.store.database import Store
from harness.store.schema import counter, finding, guest, kernel, night, outcome, run, splat

_REASON = 1000
"""Characters kept of a reason: the rest is in the results folder."""


def add(store: Store, kept: KeptRun) -> None:
    """Put a run into the history: all of it, or nothing."""
    with store.writing() as connection:
        _add(connection, kept)


def add_night(
    store: Store, kept: KeptRun, past: Past, *, tree: str, branch: str, found: Sequence[Finding]
) -> None:
    """Put a night into the history: its run, and what was found of it."""
    with store.writing() as connection:
        number = _add(connection, kept)
        row = {"tree": tree, "branch": branch, "ref": past.ref, "commit": past.commit, "what": past.what}
        connection.execute(insert(night), [{"run_id": number, **row}])
        rows = [
            {
                "run_id": number,
                "path": one.path,
                "setup": one.setup,
                "kind": str(one.kind),
                "outcome": str(one.outcome or ""),
                "reason": one.reason[:_REASON],
                "first_bad": one.first_bad,
            }
            for one in found
            if one.kind not in (Kind.GOOD, Kind.NOT_NEEDED)
        ]
        if rows:
            connection.execute(insert(finding), rows)


def points(
    store: Store,
    path: str,
    *,
    named: str = "",
    setup: str = "",
    count: str = "",
    variants: Sequence[str] = ("base", "patched"),
) -> list[Point]:
    """The course of ``path`` (a name or glob), oldest first.

    ``named`` is a kernel: its name, its version or the first numbers of that, or a tag; a glob works, as for
    ``setup``. ``count`` is the counter of the SMMU to read besides.
    """
    columns = (
        run.c.started,
        run.c.job,
        kernel.c.name.label("kernel"),
        kernel.c.version,
        guest.c.variant,
        guest.c.setup,
        outcome.c.path,
        outcome.c.outcome,
        outcome.c.reason,
        run.c.title,
        outcome.c.stalls,
        outcome.c.tlbi,
        outcome.c.notifier_calls,
        counter.c.value.label("counted"),
        run.c.name.label("run"),
        func.coalesce(night.c.ref, "").label("ref"),
    )
    made = (
        select(*columns)
        .select_from(outcome)
        .join(guest, outcome.c.guest_id == guest.c.id)
        .join(run, guest.c.run_id == run.c.id)
        .join(kernel, guest.c.kernel_id == kernel.c.id)
        .join(night, night.c.run_id == run.c.id, isouter=True)
        .join(counter, (counter.c.outcome_id == outcome.c.id) & (counter.c.name == count), isouter=True)
        .where(_glob(outcome.c.path, path), guest.c.variant.in_(variants))
        .order_by(run.c.started, run.c.id, guest.c.id, outcome.c.id)
    )
    if setup:
        made = made.where(_glob(guest.c.setup, setup))
    if named:
        places = (kernel.c.name, kernel.c.version, night.c.ref)
        told = [_glob(place, named) for place in places]
        made = made.where(or_(*told, _glob(kernel.c.version, f"{named}.*")))
    with store.reading() as connection:
        rows = connection.execute(made).mappings().all()
    return [_point(dict(row), count) for row in rows]


def _glob(column: Column[str], pattern: str) -> ColumnElement[bool]:
    return column.op("GLOB", is_comparison=True)(pattern)


def _point(row: dict[str, Any], count: str) -> Point:
    counted = (row.pop("counted") or 0) if count else row.pop("counted")
    return Point(**{**row, "outcome": Outcome(row["outcome"]), "counted": counted})


def paths(store: Store) -> list[str]:
    """All paths that the history knows."""
    with store.reading() as connection:
        return list(connection.execute(select(outcome.c.path).distinct().order_by(outcome.c.path)).scalars())


def nights(store: Store, *, tree: str, branch: str, most: int = 30) -> list[Past]:
    """The nights of a tree and a branch (empty: its tags), the latest first."""
    chosen = (
        select(run, night.c.ref, night.c.commit, night.c.what)
        .join(night, night.c.run_id == run.c.id)
        .where(night.c.tree == tree, night.c.branch == branch)
        .order_by(run.c.started.desc(), run.c.id.desc())
        .limit(most)
    )
    with store.reading() as connection:
        return [_night(connection, dict(row)) for row in connection.execute(chosen).mappings().all()]


def _night(connection: Connection, row: dict[str, Any]) -> Past:
    flaky = select(finding.c.path, finding.c.setup).where(
        finding.c.run_id == row["id"], finding.c.kind == str(Kind.FLAKY)
    )
    words = {name: row[field] for name, field in (("run", "name"), *((f, f) for f in _PAST))}
    return Past(
        **words,
        seen=_seen(connection, row["id"]),
        flaky=frozenset((path, setup) for path, setup in connection.execute(flaky)),
    )


_PAST = ("started", "ref", "commit", "what", "status", "summary", "folder")


def _seen(connection: Connection, number: int) -> dict[Key, Seen]:
    """What a night saw: its paths, and how far each kernel came."""
    seen: dict[Key, Seen] = {}
    guests = select(guest).where(guest.c.run_id == number, guest.c.variant == "base")
    for one in connection.execute(guests).mappings().all():
        logs = select(splat.c.title).where(splat.c.guest_id == one["id"], splat.c.path == "")
        titles = list(connection.execute(logs).scalars())
        seen |= stages(Stage(one["stage"]), one["setup"], one["error"], titles)
        rows = select(outcome.c.path, outcome.c.outcome, outcome.c.reason).where(outcome.c.guest_id == one["id"])
        seen |= {(p, one["setup"]): Seen(Outcome(o), reason) for p, o, reason in connection.execute(rows)}
    return seen


def stages(stage: Stage, setup: str, error: str, titles: Sequence[str]) -> dict[Key, Seen]:
    """How far a kernel came, as if each stage were a path; what a later one would say is not known."""
    good, bad = Seen(Outcome.PASS), Seen(Outcome.HANG, error)
    if stage is Stage.HARNESS:
        return {}
    if stage is Stage.BUILD:
        return {(BUILD, setup): bad}
    if stage is Stage.DRIVER:
        return {(BUILD, setup): good, (DRIVER, setup): Seen(Outcome.ERROR, error)}
    log = Seen(Outcome.SPLAT, "; ".join(titles)) if titles else good
    here = {(BUILD, setup): good, (DRIVER, setup): good, (BOOT, setup): bad if stage is Stage.BOOT else good}
    return here if stage is Stage.BOOT else {**here, (LOG, setup): log}


def _add(connection: Connection, kept: KeptRun) -> int:
    names = [column.name for column in run.columns if column.name != "id"]
    number = _insert(connection, insert(run).values({name: getattr(kept, name) for name in names}))
    for one in kept.guests:
        _add_guest(connection, number, one)
    return number


def _add_guest(connection: Connection, number: int, one: KeptGuest) -> None:
    record = one.record
    row = {
        "run_id": number,
        "kernel_id": _kernel(connection, one.kernel),
        "variant": one.variant,
        "setup": one.setup,
        "image_sha256": one.image_sha256,
        "stage": str(one.stage),
        "error": one.error[:_REASON],
        "end": record.end if record else "",
        "booted": bool(record and record.booted),
        "boot_seconds": record.boot_seconds if record else 0.0,
        "seconds": record.seconds if record else 0.0,
    }
    guest_id = _insert(connection, insert(guest).values(row))
    counts: list[dict[str, object]] = []
    splats = [("", s) for s in record.boot_splats] if record else []
    for result in record.results if record else ():
        outcome_id = _insert(connection, insert(outcome).values(guest_id=guest_id, **_outcome(result)))
        counts += [
            {"outcome_id": outcome_id, "name": name, "value": value}
            for name, value in result.counters.items()
            if value
        ]
        splats += [(result.path, s) for s in result.splats]
    if counts:
        connection.execute(insert(counter), counts)
    if splats:
        rows = [{"guest_id": guest_id, "path": p, "kind": s.kind, "title": s.title[:_REASON]} for p, s in splats]
        connection.execute(insert(splat), rows)


def _outcome(result: PathResult) -> dict[str, object]:
    same = ("path", "stalls", "retries", "tlbi", "tlbi_wide", "notifier_calls", "seconds")
    told = {"outcome": str(result.outcome), "reason": result.reason[:_REASON]}
    return {**{name: getattr(result, name) for name in same}, **told}


def _kernel(connection: Connection, one: Kernel) -> int:
    known = select(kernel.c.id).where(kernel.c.digest == one.digest, kernel.c.name == one.name)
    found = connection.execute(known).scalar()
    if found is not None:
        return int(found)
    row = {"digest": one.digest, "name": one.name, "version": one.version, "origin": one.origin}
    return _insert(connection, insert(kernel).values(row))


def _insert(connection: Connection, statement: Insert) -> int:
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])
