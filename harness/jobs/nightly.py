# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop nightly``: the newest state of a tree, judged against the nights before it.

Nothing is entered into the history before the night has come to its end; what its guests and its bisection found
is kept as it comes. So a night that was interrupted goes on where it was, by the same call.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from harness import __version__
from harness.build.cache import digest
from harness.errors import ExitStatus, InfrastructureError, UserError
from harness.jobs import history as jobs_history
from harness.jobs import night_guests, retention
from harness.jobs.bisect import BisectRequest, bisect
from harness.jobs.catalogue import load
from harness.jobs.night_tree import NightTree, night_tree, of_nearest
from harness.jobs.records import RECORD_RECIPE
from harness.jobs.results import RunFolder
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import Setup, Workload
from harness.nights import Finding, Kind, Night, Past, Teeth
from harness.oracle import nights as oracle
from harness.past import KeptGuest, KeptRun, Stage
from harness.report import kcidb
from harness.report import nightly as report
from harness.sources import catalogue, mirror
from harness.sources.mirror import Tip
from harness.store import history
from harness.store.database import Store
from harness.swept import Cell

_BUDGET = re.compile(r"(\d+)(h|m|min|)$")
_HELD = 30
"""Nights of the history that are looked at."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a bisection may take: commits, seconds, or both."""

    steps: int | None = None
    seconds: float | None = None

    @property
    def none(self) -> bool:
        return self.steps == 0 or self.seconds == 0


def budget_of(text: str) -> Budget:
    """``12`` (commits), ``4h``, ``90m``, or both: ``12,4h``; ``0``: no bisection. UserError for anything else."""
    made = Budget()
    for word in text.replace(",", " ").split():
        match = _BUDGET.match(word)
        if not match:
            raise UserError(f"BUDGET={text}: a number of commits, a time (4h, 90m), or both: 12,4h")
        number, unit = int(match.group(1)), match.group(2)
        if unit:
            made = replace(made, seconds=number * (3600.0 if unit == "h" else 60.0))
        else:
            made = replace(made, steps=number)
    return made


@dataclass(frozen=True, slots=True)
class NightRequest:
    """What the user asked for."""

    tree: str = mirror.NEXT
    branch: str = ""
    workloads: str = ""
    setups: str = ""
    accel: str = "tcg"
    fresh: bool = False
    budget: Budget = Budget(15, 4 * 3600.0)
    keep: int = retention.KEEP
    keep_bytes: int = 20 << 30
    guests_at_once: int = 2
    results: Path = Path("results")


def nightly(request: NightRequest, shop: Workshop) -> Night:
    """One night. InfrastructureError when another one is going on, or the history cannot be used."""
    with alone(request.results):
        return _Job(request, shop).run()


@contextlib.contextmanager
def alone(results: Path) -> Iterator[None]:
    """At most one night at a time writes to a folder of results; InfrastructureError names the other's process."""
    pid = results / ".nightly.pid"
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = FileLock(results / ".nightly.lock", thread_local=False)
        lock.acquire(blocking=False)
    except Timeout as error:
        who = pid.read_text(encoding="utf-8").strip() if pid.exists() else "that is just beginning"
        raise InfrastructureError(
            f"{results}: another nightly run is going on there, process {who}; wait for it, or name another "
            "folder in FAULTLOOP_RESULTS"
        ) from error
    except OSError as error:
        raise InfrastructureError(
            f"{results}: results cannot be written there: {error.strerror}; name another folder in "
            "FAULTLOOP_RESULTS"
        ) from error
    try:
        pid.write_text(f"{os.getpid()}\n")
        yield
    finally:
        pid.unlink(missing_ok=True)
        lock.release()


class _Job:
    """One night, in its order."""

    def __init__(self, request: NightRequest, shop: Workshop) -> None:
        self._request = request
        self._shop = shop
        self._clock = time.monotonic()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        table = project().workloads
        self._every = catalogue.workloads(table)
        self._workloads: tuple[Workload, ...] = catalogue.workloads(table, request.workloads)
        self._setups: tuple[Setup, ...] = catalogue.setups(project().setups, request.setups, accel=request.accel)
        self._tree = _name(request.tree)
        self._store = Store(jobs_history.where(request.results))
        self._past = history.nights(self._store, tree=self._tree, branch=request.branch, most=_HELD)

    def run(self) -> Night:
        request, shop = self._request, self._shop
        also = [night.ref for night in self._past]
        with shop.progress.step(f"newest state of {self._tree}") as step:
            tip = mirror.newest(request.tree, request.branch, cache=shop.cache, also=also, say=step.update)
            step.note = tip.ref
        what = self._what()
        known = next((n for n in self._past if (n.commit, n.what) == (tip.commit, what)), None)
        if known and known.status in (ExitStatus.FIXES, ExitStatus.NOT_FIXED) and not request.fresh:
            return self._again(tip, known)
        folder = RunFolder(request.results, f"nightly {tip.ref}")
        with folder.open() as where:
            with night_tree(shop, tip, where) as tree:
                night, guests = self._night(tip, tree, where)
            final = folder.final
            night = replace(night, folder=str(final))
            kept = self._kept(night, guests, final)

            def write(partial: Path) -> None:
                (partial / "night.txt").write_text(report.mail(night), encoding="utf-8")
                (partial / "night.json").write_text(report.dump(night), encoding="utf-8")
                url = self._tree if "://" in self._tree else ""
                name = "linux-next" if self._tree == mirror.NEXT else ""
                found = kcidb.Tree(name, url, request.branch, "" if request.branch else tip.ref)
                jobs_history.write_kcidb(kept, partial, found)

            folder.keep_files(write)
        past = Past(
            final.name, self._started, tip.ref, tip.commit, what, night.status, night.summary, str(final), {}
        )
        with jobs_history.told():
            history.add_night(
                self._store, kept, past, tree=self._tree, branch=request.branch, found=night.findings
            )
            return replace(night, removed=self._prune())
        return night

    def _night(self, tip: Tip, tree: NightTree, where: Path) -> tuple[Night, tuple[KeptGuest, ...]]:
        shop, request = self._shop, self._request
        cells = tree.cells(self._setups)
        guests = night_guests.NightGuests(shop, where, request.guests_at_once, fresh=request.fresh)
        cells = guests.sweep(cells, self._workloads)
        first = self._compare(cells, {})
        again = guests.again(cells, [f for f in first if f.kind is Kind.NEW], self._workloads)
        findings = self._compare(cells, again)
        faults, notes = guests.controls(cells, self._workloads, self._unmended)
        version = next((cell.kernel.version for cell in cells if cell.built), "")
        bitten, drifted, fitting = self._checks(tree, cells, guests, version, where)
        findings = self._bisected(tip, findings)
        faults = (*faults, *bitten.faults)
        harness = any(cell.stage is Stage.HARNESS for cell in cells)
        status = oracle.status(findings, faults=faults, harness=harness)
        night = Night(
            tree=self._tree,
            branch=request.branch,
            ref=tip.ref,
            commit=tip.commit,
            version=version,
            started=self._started,
            seconds=time.monotonic() - self._clock,
            status=int(status),
            findings=findings,
            teeth=bitten,
            faults=faults,
            notes=notes,
            drifted=drifted,
            fitting=fitting,
            compared=len(self._past),
            last=self._past[0].ref if self._past else "",
        )
        return replace(night, summary=report.sentence(night)), tuple(guests.kept)

    @property
    def _unmended(self) -> list[str]:
        return [w.path for w in self._every if w.unmended]

    def _compare(self, cells: Sequence[Cell], again: night_guests.Again) -> tuple[Finding, ...]:
        asked = [(w.path, s.name) for s in self._setups for w in self._workloads]
        why_not = {cell.setup.name: cell.error for cell in cells if cell.error}
        seen = night_guests.seen(cells)
        return oracle.compare(asked, seen, self._past, again=again, unmended=self._unmended, why_not=why_not)

    def _checks(
        self,
        tree: NightTree,
        cells: Sequence[Cell],
        guests: night_guests.NightGuests,
        version: str,
        where: Path,
    ) -> tuple[Teeth, tuple[str, ...], int]:
        """Teeth, and which patches of ours do not apply to this tree any more."""
        rows = load()
        setups = [cell.setup for cell in cells if cell.record is not None and cell.stage is Stage.RAN]
        if setups:
            with self._shop.progress.step("teeth"):
                bitten = guests.bite(tree, rows, version, setups, self._workloads, self._every)
        else:
            bitten = Teeth(why="no kernel ran")
        near = of_nearest(rows, version or tree.unbuilt.version)
        fits = tree.fits(near)
        drifted = tuple(f"{row.name}: {applied.note}" for row, applied in fits if applied.fit.drifted)
        return bitten, drifted, len(fits) - len(drifted)

    def _bisected(self, tip: Tip, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """What is new, with the commit that a bisection ends with; one for all that were good on the same tag."""
        request = self._request
        new = [f for f in findings if f.kind is Kind.NEW]
        found: dict[tuple[str, str], Finding] = {}
        for commit in dict.fromkeys(f.since_commit for f in new):
            group = [f for f in new if f.since_commit == commit]
            paths = [f for f in group if not f.path.startswith("(")]
            for one in group:
                found[one.key] = replace(one, found=self._why_not(one))
            if not paths or not commit or request.budget.none:
                continue
            asked = BisectRequest(
                tree=str(tip.repository),
                good=commit,
                bad=tip.commit,
                workloads=",".join(dict.fromkeys(f.path for f in paths)),
                setups=",".join(dict.fromkeys(f.setup for f in paths)),
                accel=request.accel,
                max_steps=request.budget.steps,
                max_seconds=request.budget.seconds,
                guests_at_once=request.guests_at_once,
                results=request.results,
            )
            self._shop.progress.say(f"bisecting {len(paths)} new failures since {paths[0].since}")
            first, words = self._bisect(asked)
            found |= {f.key: replace(f, first_bad=first, found=words) for f in paths}
        return tuple(found.get(f.key, f) for f in findings)

    def _why_not(self, one: Finding) -> str:
        if not one.since_commit:
            return "not bisected: no earlier night judged it"
        if one.path.startswith("("):
            return "not bisected: only paths are"
        return "not bisected: BUDGET=0"

    def _bisect(self, asked: BisectRequest) -> tuple[str, str]:
        """The commit, if it was found, and how it ended in words. A night does not end with its bisection."""
        try:
            done = bisect(asked, self._shop)
        except (UserError, InfrastructureError) as error:
            return "", f"the bisection failed: {error.message}"
        if done.first:
            return done.first.sha, done.summary
        words = ["--tree", asked.tree, "--good", asked.good, "--bad", asked.bad]
        words += ["--setup", asked.setups, "--workloads", asked.workloads]
        words += ["--accel", asked.accel] if asked.accel != "tcg" else []
        return "", f"{done.summary}. To go on: faultloop bisect {shlex.join(words)}"

    def _kept(self, night: Night, guests: tuple[KeptGuest, ...], folder: Path) -> KeptRun:
        return KeptRun(
            name=folder.name,
            job="nightly",
            started=night.started,
            seconds=night.seconds,
            status=night.status,
            verdict="",
            summary=night.summary,
            title="",
            patches="",
            emulator=self._shop.emulator.key,
            guest_image=self._shop.guest_image.key,
            version=__version__,
            folder=str(folder),
            guests=guests,
        )

    def _what(self) -> str:
        """What is run on a tag: with the same, the same tag need not be run again."""
        shop = self._shop
        paths, setups = [w.path for w in self._workloads], [repr(s) for s in self._setups]
        return digest(paths, setups, shop.emulator.key, shop.guest_image.key, RECORD_RECIPE)

    def _again(self, tip: Tip, known: Past) -> Night:
        """A tag that was judged: nothing is run, nothing is entered."""
        return Night(
            tree=self._tree,
            branch=self._request.branch,
            ref=tip.ref,
            commit=tip.commit,
            version="",
            started=self._started,
            seconds=time.monotonic() - self._clock,
            status=int(ExitStatus.FIXES),
            findings=(),
            teeth=Teeth(),
            faults=(),
            folder=known.folder,
            already=known.started,
            summary=f"nothing newer than {tip.ref}, which was judged on {known.started[:10]}: {known.summary}",
        )

    def _prune(self) -> tuple[str, ...]:
        request = self._request
        past = history.nights(self._store, tree=self._tree, branch=request.branch, most=1000)
        needed = oracle.open_since(past[:_HELD])
        names = [night.run for night in past]
        return tuple(retention.prune(request.results, names, needed, keep=request.keep, size=request.keep_bytes))


def _name(tree: str) -> str:
    """A folder by its whole path, without links: so it is the same tree from wherever it is named."""
    return tree if "://" in tree else str(Path(tree).expanduser().resolve())
