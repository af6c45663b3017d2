# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that look for a commit."""

import sys
from typing import Annotated

import typer

from harness.options import Accel, Fresh, Json, Setups, Workloads
from harness.shown import one_line, printable
from harness.sought import Find, Mark
from harness.verbs import common

verbs = typer.Typer()

Repeat = Annotated[int, typer.Option(min=1, max=1000, help="Guests of each commit: one that is bad is enough.")]
BootFail = Annotated[str, typer.Option(help="What a commit is that does not boot: skip, or bad.")]
Finds = Annotated[Find, typer.Option(help="break: which commit broke it; fix: which one mended it.")]
FixUps = Annotated[list[str], typer.Option(help="Patch that goes on each commit; may be given several times.")]


@verbs.command("bisect")
def bisect(
    tree: Annotated[str, typer.Option(help="The kernel's git tree; it is only read.")] = ".",
    good: Annotated[str, typer.Option(help="A revision that is good; with --find fix the newer end.")] = "",
    bad: Annotated[str, typer.Option(help="A revision that is bad; with --find fix the older end.")] = "",
    find: Finds = Find.BREAK,
    repeat: Repeat = 1,
    boot_fail: BootFail = "skip",
    patch: FixUps = [],  # noqa: B006
    replay: Annotated[str, typer.Option(help="A log of git bisect, whose verdicts are taken over.")] = "",
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many; the same call goes on.")
    ] = None,
    max_minutes: Annotated[int | None, typer.Option(min=1, help="Begin no step after so many minutes.")] = None,
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Find the commit that broke, or mended, a path. The same call after an interruption goes on.

    Status 0: found; 2: wrong ends; 3: not decided.
    """
    from harness.errors import ExitStatus, UserError
    from harness.jobs.bisect import BisectRequest
    from harness.jobs.bisect import bisect as job
    from harness.report import bisect as report

    if not good or not bad:
        raise UserError("name both ends: --good REV --bad REV (GOOD= and BAD=)")
    request = BisectRequest(
        tree=tree,
        good=good,
        bad=bad,
        find=find,
        workloads=workloads,
        setups=setup,
        accel=common.accel_of(accel),
        repeat=repeat,
        boot_fail=_boot_fail(boot_fail),
        patches=tuple(patch),
        replay=replay,
        fresh=fresh,
        max_steps=max_steps,
        max_seconds=None if max_minutes is None else 60.0 * max_minutes,
        results=common.results(),
    )
    done = job(request, common.workshop())
    common.tell_result(done, ExitStatus(done.status), report.show, report.dump, as_json=as_json)


@verbs.command("bisect-step")
def bisect_step(
    tree: Annotated[str, typer.Option(help="The kernel's git tree.")] = ".",
    rev: Annotated[str, typer.Option(help="The commit; left out: the one that git wants to know of.")] = "",
    find: Finds = Find.BREAK,
    repeat: Repeat = 1,
    boot_fail: BootFail = "skip",
    patch: FixUps = [],  # noqa: B006
    setup: Setups = "",
    workloads: Workloads = "",
    accel: Accel = "tcg",
    fresh: Fresh = False,
) -> None:
    """Judge the commit at hand: git bisect run faultloop bisect-step --workloads NAME.

    Status 0: good; 1: bad; 125: it cannot be judged; 255: trouble, which stops git bisect run.
    """
    from harness.errors import FaultloopError, defect
    from harness.jobs import bisect_step as job

    request = job.StepRequest(
        tree=tree,
        rev=rev,
        find=find,
        workloads=workloads,
        setups=setup,
        accel=common.accel_of(accel),
        repeat=repeat,
        boot_fail=_boot_fail(boot_fail),
        patches=tuple(patch),
        fresh=fresh,
        results=common.results(),
    )
    try:
        done, status = job.step(request, common.workshop())
    except FaultloopError:
        raise
    except Exception as error:
        raise defect(error) from error
    sys.stdout.write(f"{done.mark.upper()} {done.sha[:12]}: {one_line(done.reason)}\n")
    if done.detail:
        sys.stdout.write(printable(done.detail.rstrip()) + "\n")
    sys.stdout.flush()
    raise typer.Exit(status)


def _boot_fail(word: str) -> Mark:
    from harness.errors import UserError

    if word not in ("skip", "bad"):
        raise UserError(f"BOOT_FAIL={word}: skip, or bad")
    return Mark(word)
