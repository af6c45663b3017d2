# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs that let a user look into a guest."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import ExitStatus, UserError
from harness.options import Accel, KernelName, Patch, Setups
from harness.verbs import common

if TYPE_CHECKING:
    from harness.jobs.debug import Subject

verbs = typer.Typer()


@verbs.command("shell")
def shell(
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "",
    accel: Accel = "tcg",
    share: Annotated[
        Path | None,
        typer.Option(help="Folder whose files are copied to /share; /share/from-guest is copied back to it."),
    ] = None,
) -> None:
    """Log in to a booted guest with the device and the workloads; it is powered off when you leave."""
    from harness.jobs.shell import shell as job

    status = job(
        common.workshop(),
        kernel=kernel,
        patches=tuple(patch),
        setup=setup,
        accel=common.accel_of(accel),
        shared=share,
    )
    raise typer.Exit(status)


@verbs.command("trace")
def trace(
    workload: Annotated[str, typer.Argument(help="The path: one name of `faultloop workloads`.")] = "",
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "",
    accel: Accel = "tcg",
    export: Annotated[
        Path | None, typer.Option(help="Folder of a run: write its timelines for Perfetto, run nothing.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the timeline as JSON instead of the table.")
    ] = False,
) -> None:
    """Trace one path: SMMU and kernel functions in one timeline, as a table and for Perfetto."""
    from harness import timeline
    from harness.jobs import trace as job
    from harness.report import timeline as report

    if export is not None:
        if workload:
            raise UserError(f"--export writes what was recorded of a run: it takes no path ('{workload}')")
        for written in job.export(export):
            print(written)
        return
    found = job.trace(
        common.workshop(),
        workload=workload,
        kernel=kernel,
        patches=tuple(patch),
        setup=setup,
        accel=common.accel_of(accel),
        results=common.results(),
    )
    if as_json:
        sys.stdout.write(timeline.dump(found.timeline).decode() + "\n")
    else:
        report.show(found, sys.stdout)
    sys.stdout.flush()


Command = Annotated[
    list[str], typer.Option("--command", help="Have the debugger run this and end; can be given several times.")
]


def _subject(workload: str, command: str, kernel: str, patch: list[str], setup: str, accel: str) -> "Subject":
    from harness.jobs import debug as job

    return job.subject(
        common.workshop(),
        workload=workload,
        command=command,
        kernel=kernel,
        patches=tuple(patch),
        setup=setup,
        accel=common.accel_of(accel),
    )


@verbs.command("debug")
def debug(
    workload: Annotated[str, typer.Argument(help="The path: one name of `faultloop workloads`.")] = "",
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "",
    accel: Accel = "tcg",
    drgn: Annotated[bool, typer.Option("--drgn", help="drgn on a dump, in place of gdb on the guest.")] = False,
    command: Command = [],  # noqa: B006
) -> None:
    """Stop a guest at the first LOOP or STALE of a path, with gdb or drgn on its kernel, built with symbols."""
    from harness.jobs import debug as job

    found = _subject(workload, "", kernel, patch, setup, accel)
    raise typer.Exit(job.debug(found, with_drgn=drgn, commands=command))


@verbs.command("vmcore")
def vmcore(
    workload: Annotated[str, typer.Argument(help="The path: one name of `faultloop workloads`.")] = "",
    kernel: KernelName = "",
    patch: Patch = [],  # noqa: B006
    setup: Setups = "",
    accel: Accel = "tcg",
    run: Annotated[str, typer.Option(help="Command for the guest's shell, in place of a path.")] = "",
    command: Command = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print what was kept as JSON.")] = False,
) -> None:
    """Keep a guest's memory when its kernel panics, or at the first LOOP or STALE of a path; open it with drgn."""
    from harness.jobs import debug as job

    if bool(run) == bool(workload):
        raise UserError("name a path, or a command with --run, and not both")
    if as_json and command:
        raise UserError("--command prints what the debugger says: it cannot be had with --json")
    found = _subject(workload, run, kernel, patch, setup, accel)
    dumped = job.dump(found, common.results())
    if as_json:
        sys.stdout.write(job.dump_json(dumped))
        raise typer.Exit(0 if dumped else ExitStatus.UNDECIDED)
    if dumped is None:
        raise typer.Exit(ExitStatus.UNDECIDED)
    sys.stdout.write(dumped.trace)
    print(f"{dumped.what}: {dumped.folder}/vmcore, with vmlinux beside it")
    sys.stdout.flush()
    raise typer.Exit(job.examine(found, dumped.folder / "vmcore", command) if command else 0)
