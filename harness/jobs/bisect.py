# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop bisect``: which commit broke it, or mended it.

Git chooses the commits; what each is, the counted outcomes of its guests say (`oracle.bisection`). Both ends are
looked at first. What is known is on disk before the next thing is begun: after a kill the same call goes on.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.bisected import Bisection, Commit, Confidence, End, Step
from harness.errors import ExitStatus, InfrastructureError, UserError
from harness.jobs import bisect_end, bisect_state
from harness.jobs.bisect_bench import Bench, Guests
from harness.jobs.bisect_commit import Judge
from harness.jobs.bisect_state import State
from harness.jobs.test_patch import one_kernel
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import Series, Setup, Workload
from harness.oracle import bisection as rules
from harness.report import bisect as report
from harness.shown import one_line
from harness.sought import Find, Mark
from harness.sources import catalogue, git, git_bisect, git_range
from harness.sources.git_bisect import Asked, Bisector

STATUS = {
    End.FOUND: ExitStatus.FIXES,
    End.ONE_OF_THESE: ExitStatus.UNDECIDED,
    End.BUDGET: ExitStatus.UNDECIDED,
    End.ENDS_UNDECIDED: ExitStatus.UNDECIDED,
}
"""Exit status by end; the others are those of ends that were named wrongly: bad input."""


@dataclass(frozen=True, slots=True)
class BisectRequest:
    """What the user asked for."""

    tree: str
    """The kernel's git tree, or a folder in it. It is only read."""
    good: str
    """A revision that is good. With ``find`` FIX it is the newer end."""
    bad: str
    find: Find = Find.BREAK
    workloads: str = ""
    """Names or globs; empty: all. Those that differ between the ends decide."""
    setups: str = ""
    accel: str = "tcg"
    repeat: int = 1
    """Runs of each commit."""
    boot_fail: Mark = Mark.SKIP
    """What a commit is that does not boot: SKIP or BAD."""
    patches: tuple[str, ...] = ()
    """Fix-ups that go on each commit."""
    replay: str = ""
    """A log of ``git bisect`` whose verdicts are taken over."""
    fresh: bool = False
    """Begin anew, and run guests whose record is in the cache."""
    guests_at_once: int = 2
    max_steps: int | None = None
    """Commits to judge in this call, the ends not counted."""
    max_seconds: float | None = None
    """Of this call; no step is begun after them."""
    results: Path = Path("results")


def bisect(request: BisectRequest, shop: Workshop) -> Bisection:
    """Find the commit; how it ended is in ``end`` and ``summary``, never an exception.

    UserError for what cannot be begun (no such tree, no such commit), InfrastructureError for trouble of the host:
    what is known is kept, and the same call goes on.
    """
    tree = git_range.top(Path(request.tree).expanduser())
    good, bad = git.resolve(tree, request.good), git.resolve(tree, request.bad)
    workloads = catalogue.workloads(project().workloads, request.workloads)
    setups = catalogue.setups(project().setups, request.setups, accel=request.accel)
    one_kernel(setups)
    series = shop.patches(request.patches, version=None, tree=str(tree)).series if request.patches else Series()
    asked = _asked(request, tree, good, bad, workloads, setups, series)
    name = hashlib.sha256(repr(sorted(asked.items())).encode()).hexdigest()[:8]
    folder = request.results.absolute() / f"bisect-{good[:8]}-{bad[:8]}-{name}"
    with shop.cache.lock(f"bisect-{name}", waiting="waiting: another process does this bisection"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InfrastructureError(
                f"{folder}: results cannot be written there: {error.strerror}; name another folder in "
                "FAULTLOOP_RESULTS"
            ) from error
        with Bisector(tree, folder / "git", request.find) as git_side:
            job = _Job(request, shop, tree, git_side, folder, workloads, setups, series, asked)
            return job.run(git_side.commit(good), git_side.commit(bad))


def _asked(
    request: BisectRequest,
    tree: Path,
    good: str,
    bad: str,
    workloads: Sequence[Workload],
    setups: Sequence[Setup],
    series: Series,
) -> dict[str, str]:
    """What makes it this bisection and no other."""
    diffs = hashlib.sha256("".join(p.diff for p in series.patches).encode("utf-8", "surrogateescape"))
    replay = Path(request.replay).read_bytes() if request.replay and Path(request.replay).is_file() else b""
    return {
        "tree": str(tree),
        "good": good,
        "bad": bad,
        "find": str(request.find),
        "workloads": " ".join(w.path for w in workloads),
        "setups": " ".join(repr(s) for s in setups),
        "repeat": str(request.repeat),
        "boot_fail": str(request.boot_fail),
        "patches": diffs.hexdigest() if series.patches else "",
        "replay": hashlib.sha256(replay).hexdigest() if replay else "",
    }


class _Job:
    """One call of `bisect`."""

    def __init__(
        self,
        request: BisectRequest,
        shop: Workshop,
        tree: Path,
        git_side: Bisector,
        folder: Path,
        workloads: tuple[Workload, ...],
        setups: tuple[Setup, ...],
        series: Series,
        asked: dict[str, str],
    ) -> None:
        self._request = request
        self._shop = shop
        self._tree = tree
        self._git = git_side
        self._folder = folder
        self._clock = time.monotonic()
        self._notes: list[str] = []
        self._steps = 0
        environment = {"emulator": shop.emulator.key, "guest": shop.guest_image.key}
        if request.fresh:
            self._state, why = State(asked, environment), ""
        else:
            self._state, why = bisect_state.load(folder, asked, environment)
        if why:
            self._note(f"{why}: beginning anew")
        self._before = self._state.seconds
        good = asked["good"]
        self._judge = Judge(
            bench=Bench(shop, git_side, tree, good, series, setups[0]),
            guests=Guests(shop, folder / "guests", at_once=request.guests_at_once, fresh=request.fresh),
            workloads=workloads,
            setups=setups,
            repeat=max(1, request.repeat),
            boot_fail=request.boot_fail,
            state=self._state,
            save=self._save,
        )

    def run(self, good: Commit, bad: Commit) -> Bisection:
        self._check_order(good, bad)
        if self._state.steps:
            self._shop.progress.say(f"going on: {len(self._state.steps)} commits are judged already")
        try:
            wrong = self._ends(good, bad)
            if wrong:
                return self._finish(good, bad, *wrong)
            return self._finish(good, bad, *self._search(good, bad))
        except KeyboardInterrupt:
            self._shop.progress.say(
                f"interrupted: {len(self._state.steps)} commits are judged and kept; the same command goes on"
            )
            raise

    def _check_order(self, good: Commit, bad: Commit) -> None:
        if good.sha == bad.sha:
            raise UserError(f"GOOD and BAD are one commit: {good}")
        older, newer = (good, bad) if self._request.find is Find.BREAK else (bad, good)
        if self._git.is_ancestor(newer.sha, older.sha):
            way = "add FIND=fix" if self._request.find is Find.BREAK else "leave FIND=fix out"
            names = ("BAD", "GOOD") if self._request.find is Find.BREAK else ("GOOD", "BAD")
            raise UserError(
                f"{names[0]} ({newer.short}) comes before {names[1]} ({older.short}): with FIND=fix GOOD is the "
                f"newer one, else BAD is; {way}, or change them round"
            )

    def _ends(self, good: Commit, bad: Commit) -> tuple[End, str, Asked] | None:
        """Look at both ends; why there is nothing to look for between them, if so."""
        self._shop.progress.say(f"BAD  {bad}")
        at_bad = self._judge.end(bad, ())
        if not at_bad.runs:
            return End.ENDS_UNDECIDED, f"BAD ({bad.short}): {at_bad.step.reason}", Asked()
        self._shop.progress.say(f"GOOD {good}")
        at_good = self._judge.end(good, at_bad.wrong)
        if not at_good.runs:
            return End.ENDS_UNDECIDED, f"GOOD ({good.short}): {at_good.step.reason}", Asked()
        found = rules.ends(self._request.find, at_good.runs, at_bad.runs)
        if found:
            return (*found, Asked())
        watched = rules.watched(at_good.runs, at_bad.runs)
        self._judge.watch(watched, good.sha, bad.sha)
        left_out = [key for key in at_bad.wrong if key not in watched]
        if left_out:
            self._note(f"wrong at BAD, but no pass at GOOD, so not looked at: {rules.names(left_out)}")
        self._shop.progress.say(f"what decides: {rules.names(watched)}")
        return None

    def _search(self, good: Commit, bad: Commit) -> tuple[End, str, Asked]:
        """Ask git, judge, tell git, until it knows."""
        asked = self._started(good, bad)
        while asked.next:
            if self._spent():
                left = f"{asked.left + 1} commits are left, roughly {asked.roughly + 1} steps"
                return End.BUDGET, f"steps or time are used up; {left}; the same call goes on", asked
            commit = self._git.commit(asked.next)
            base = "a merge base, " if asked.merge_base else ""
            self._shop.progress.say(
                f"{base}{asked.left + 1} commits left, roughly {asked.roughly + 1} steps: {commit}"
            )
            known = self._state.step(commit.sha)
            step = self._judge.commit(commit)
            self._steps += known is None
            told = f"{step.mark.upper()} {commit.short}: {step.reason}, {step.seconds:.0f} s"
            self._shop.progress.say(told)
            asked = self._tell(commit.sha, step.mark)
        return self._ended(asked, good)

    def _ended(self, asked: Asked, good: Commit) -> tuple[End, str, Asked]:
        find = self._request.find
        if asked.first:
            verb = "broke" if find is Find.BREAK else "mended"
            return End.FOUND, f"{self._git.commit(asked.first)} {verb} it", asked
        if asked.suspects:
            skips = "the others cannot be judged"
            return End.ONE_OF_THESE, f"it is one of these {len(asked.suspects)} commits; {skips}", asked
        base = self._git.commit(asked.mended_beside)
        return (*rules.merge_base(find, base, good), asked)

    def _started(self, good: Commit, bad: Commit) -> Asked:
        """Git, told of all that is known."""
        asked = self._git.start(good.sha, bad.sha)
        if asked.merge_base:
            self._note(
                "the older end is no ancestor of the newer: as git does it, the merge base is judged first, and "
                "what is looked for lies between that and the newer end"
            )
        if self._request.replay and not self._state.marks:
            self._replay()
        for sha, mark in self._state.marks:
            asked = self._git.mark(sha, mark)
        self._log()
        return asked

    def _replay(self) -> None:
        logged = git_bisect.read_log(Path(self._request.replay).expanduser())
        if logged.find is not self._request.find:
            raise UserError(f"{self._request.replay}: a log of a bisection that looks for a {logged.find}")
        marks = []
        for name, mark in logged.marks:
            commit = self._git.commit(git.resolve(self._tree, name))
            marks.append((commit.sha, mark))
            if self._state.step(commit.sha) is None:
                step = Step(commit.sha, mark, f"as {one_line(self._request.replay)} says", subject=commit.subject)
                self._state = self._state.with_step(step)
        self._save(replace(self._state, marks=tuple(marks)))
        self._note(f"{len(marks)} verdicts are those of {one_line(self._request.replay)}")

    def _tell(self, sha: str, mark: Mark) -> Asked:
        """On disk first: a git that was told twice says the same."""
        self._save(replace(self._state, marks=(*self._state.marks, (sha, mark))))
        asked = self._git.mark(sha, mark)
        self._log()
        return asked

    def _spent(self) -> bool:
        request = self._request
        steps = request.max_steps is not None and self._steps >= request.max_steps
        return steps or (request.max_seconds is not None and self._seconds() >= request.max_seconds)

    def _seconds(self) -> float:
        return time.monotonic() - self._clock

    def _save(self, state: State) -> None:
        self._state = replace(state, seconds=self._before + self._seconds())
        self._judge.state = self._state
        bisect_state.save(self._folder, self._state)

    def _log(self) -> None:
        bisect_state.write(self._folder / bisect_state.LOG, self._git.log().encode("utf-8"))

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._shop.progress.say(f"note: {text}")

    def _finish(self, good: Commit, bad: Commit, end: End, summary: str, asked: Asked) -> Bisection:
        """The result, and its reports on disk."""
        state = self._state
        done = Bisection(
            tree=str(self._tree),
            find=self._request.find,
            good=good,
            bad=bad,
            end=end,
            summary=summary,
            status=STATUS.get(end, ExitStatus.USER),
            steps=state.steps,
            watched=state.watched,
            seconds=0.0,
            suspects=tuple(self._git.commit(sha) for sha in asked.suspects),
            left=asked.left + 1 if asked.next else 0,
            confidence=self._confidence(bad),
            folder=self._folder,
            base=self._judge.base_name,
        )
        if asked.first:
            done = bisect_end.explain(done, self._git.commit(asked.first), self._git, self._judge)
        self._save(self._state)
        done = replace(
            done, steps=self._state.steps, seconds=self._state.seconds, notes=(*self._notes, *done.notes)
        )
        for name, text in (("report.txt", report.plain(done)), ("bisect.json", report.dump(done, done.status))):
            bisect_state.write(self._folder / name, text.encode("utf-8"))
        return done

    def _confidence(self, bad: Commit) -> Confidence | None:
        runs = self._judge.runs(bad.sha)
        if not self._state.watched or not runs:
            return None
        wrong, of = rules.rate(runs, self._state.watched)
        goods = sum(step.mark is Mark.GOOD for step in self._state.steps)
        return Confidence(wrong, of, max(1, self._request.repeat), goods)
