# SPDX-License-Identifier: GPL-2.0-or-later
"""Judge one commit of a bisection: build, boot as often as was asked for, and apply the rules."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.bisected import Commit, Key, Step
from harness.errors import BuildError, PatchError, UserError
from harness.jobs.bisect_bench import Bench, Guests, Made
from harness.jobs.bisect_state import Run, State
from harness.model import GuestRecord, Outcome, Setup, Workload
from harness.oracle import bisection as rules
from harness.oracle.bisection import Outcomes
from harness.shown import one_line
from harness.sought import Mark

_DOUBTFUL = (Outcome.HANG, Outcome.ERROR)
"""A starved host looks like a hang, and an error is ours: they are seen again before they count."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What one end of the range does."""

    step: Step
    runs: tuple[Outcomes, ...]

    @property
    def wrong(self) -> tuple[Key, ...]:
        return tuple(rules.wrong(self.runs))


@dataclass(slots=True)
class Judge:
    """See the module's text. What it finds is in ``state``, and saved after each run of a commit."""

    bench: Bench
    guests: Guests
    workloads: tuple[Workload, ...]
    setups: tuple[Setup, ...]
    repeat: int
    boot_fail: Mark
    state: State
    save: Callable[[State], None]
    _made: dict[str, Made] = field(default_factory=dict)

    @property
    def base_name(self) -> str:
        """The kernel that the first commit was built from; empty if nothing was built in this call."""
        return f"{self.bench.base.name} ({self.bench.base.version})" if self._made else ""

    def end(self, commit: Commit, only: Sequence[Key]) -> Ended:
        """All runs of an end, with every workload, or with those of ``only``."""
        known = self.state.step(commit.sha)
        if known is None:
            known = self._judged(commit, only, at_end=True)
            self.save(self.state.with_step(known))
        return Ended(known, self.runs(commit.sha))

    def watch(self, keys: Sequence[Key], good: str, bad: str) -> None:
        """From now on these decide; what the ends are is told by them."""
        state = replace(self.state, watched=tuple(keys))
        for sha in (bad, good):
            step = state.step(sha)
            if step is not None and step.runs:
                said = rules.decide(_outcomes(step.runs), keys)
                steps = [
                    replace(s, mark=said.mark, reason=said.reason) if s.sha == sha else s for s in state.steps
                ]
                state = replace(state, steps=tuple(steps))
        self.save(state)

    def commit(self, commit: Commit) -> Step:
        """What a commit between the ends is."""
        known = self.state.step(commit.sha)
        if known is None:
            known = self._judged(commit, self.state.watched, at_end=False)
            self.save(self.state.with_step(known))
        return known

    def runs(self, sha: str) -> tuple[Outcomes, ...]:
        """The runs of a commit, or of the one that has the same image."""
        step = self.state.step(sha)
        return _outcomes(step.runs) if step is not None else ()

    def _judged(self, commit: Commit, keys: Sequence[Key], *, at_end: bool) -> Step:
        clock = time.monotonic()
        step = Step(commit.sha, Mark.SKIP, "", subject=commit.subject, end=at_end)
        try:
            made = self.make(commit)
            step = replace(step, objects=made.built.objects, image=made.image, notes=made.notes)
            twin = None if at_end else self._twin(made)
            if twin is not None:
                step = replace(step, same_as=twin.same_as or twin.sha, runs=twin.runs)
            else:
                step = self._run(commit, made, keys, step)
        except UserError as error:
            step = replace(step, reason=_why(error), detail=error.detail[:4000])
        if step.runs:
            if at_end and not keys:
                said = rules.judged_alone(_outcomes(step.runs))
            else:
                said = rules.decide(_outcomes(step.runs), keys)
            same = f"same image as {step.same_as[:12]}: " if step.same_as else ""
            step = replace(step, mark=said.mark, reason=same + said.reason)
        return replace(step, seconds=time.monotonic() - clock)

    def make(self, commit: Commit) -> Made:
        """The commit's kernel, built once in this call."""
        if commit.sha not in self._made:
            self._made[commit.sha] = self.bench.make(commit)
        return self._made[commit.sha]

    def _twin(self, made: Made) -> Step | None:
        """A commit that was judged with the same image."""
        same = (step for step in self.state.steps if step.image == made.image and step.runs)
        watched = self.state.watched
        return next((s for s in same if rules.decide(_outcomes(s.runs), watched).mark is not Mark.SKIP), None)

    def _run(self, commit: Commit, made: Made, keys: Sequence[Key], step: Step) -> Step:
        """Run after run, each kept as it ends; between the ends the first that does wrong is enough."""
        runs = list(self.state.runs.get(commit.sha, ()))
        workloads, setups = self.chosen(keys)
        while len(runs) < self.repeat:
            if not step.end and rules.decide(_outcomes(runs), keys).mark is Mark.BAD:
                break
            records = self._once(commit, made, workloads, setups, len(runs), keys)
            dead = [record for record in records if not record.booted]
            if dead and self.boot_fail is Mark.SKIP:
                return replace(step, reason=_no_boot(dead[0]), detail=_splat(dead[0]))
            found = rules.outcomes(records, boot_counts=self.boot_fail is Mark.BAD)
            run: Run = tuple((path, setup, outcome) for (path, setup), outcome in found.items())
            runs.append(run)
            self.save(self.state.with_run(commit.sha, run))
            if dead:
                step = replace(step, detail=_splat(dead[0]))
        return replace(step, runs=tuple(runs))

    def _once(
        self,
        commit: Commit,
        made: Made,
        workloads: Sequence[Workload],
        setups: Sequence[Setup],
        number: int,
        keys: Sequence[Key],
    ) -> list[GuestRecord]:
        """One run; when the host may be to blame for what it says, another in its place."""
        found = self.guests.run(commit, made.built, workloads, setups, str(number), again=number > 0)
        hung = any(not record.booted and record.end != "PANIC" for record in found)
        seen = rules.outcomes(found, boot_counts=False)
        if hung or any(seen.get(key) in _DOUBTFUL for key in (keys or seen)):
            found = self.guests.run(commit, made.built, workloads, setups, str(number), again=True)
        return found

    def chosen(self, keys: Sequence[Key]) -> tuple[list[Workload], list[Setup]]:
        """Workloads and setups that are needed to look at ``keys``; all for none."""
        paths, setups = {path for path, _ in keys}, {setup for _, setup in keys}
        workloads = [w for w in self.workloads if not keys or w.path in paths]
        # A guest boots for a path: where only the boot itself is looked at, for the first.
        return workloads or list(self.workloads[:1]), [s for s in self.setups if not keys or s.name in setups]


def _outcomes(runs: Sequence[Run]) -> tuple[Outcomes, ...]:
    return tuple({(path, setup): outcome for path, setup, outcome in run} for run in runs)


def _why(error: UserError) -> str:
    if isinstance(error, BuildError):
        first = next((line for line in error.detail.splitlines() if line.strip()), "")
        return one_line(f"does not build: {first or error.message}")[:300]
    if isinstance(error, PatchError):
        return one_line(f"a fix-up does not go on it: {error.message}")[:300]
    return one_line(error.message)[:300]


def _no_boot(record: GuestRecord) -> str:
    why = record.boot_splats[0].title if record.boot_splats else record.end
    return one_line(f"does not boot on {record.setup}: {why}")[:300]


def _splat(record: GuestRecord) -> str:
    return "\n\n".join(splat.text for splat in record.boot_splats[:2])[:4000]
