# SPDX-License-Identifier: GPL-2.0-or-later
"""Options that several verbs of the command have."""

from pathlib import Path
from typing import Annotated

import typer

from harness.verbs import complete

KernelName = Annotated[
    str,
    typer.Option(
        help="Series of kernels.yaml, a source tree, a tarball, or TREE@REF.", autocompletion=complete.kernels
    ),
]
Setups = Annotated[
    str, typer.Option(help="Setups of setups.yaml, separated by commas.", autocompletion=complete.setups)
]
Workloads = Annotated[
    str,
    typer.Option(
        help="Names or globs of paths, or family:X, separated by commas.", autocompletion=complete.workloads
    ),
]
Accel = Annotated[
    str,
    typer.Option(
        help="tcg, or kvm on an arm64 host (kvm has not been tested).", autocompletion=complete.accelerators
    ),
]
Patches = Annotated[
    list[str],
    typer.Argument(
        help="Patch file, folder of patches, mbox, saved thread, Message-ID or link, git:RANGE; in order."
    ),
]
Patch = Annotated[list[str], typer.Option(help="Patch to build the kernel with.")]
Version = Annotated[int | None, typer.Option(min=1, help="Version to take of a thread that holds several.")]
Tree = Annotated[str, typer.Option(help="Kernel's git tree, for git:RANGE and to find a base in.")]
Pool = Annotated[str, typer.Option("--pool", help="Scheduler of other machines, tls://host:port (docs/pool.md).")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run every guest, and replace the records kept of them.")]
Each = Annotated[
    bool, typer.Option("--each", help="Also build and boot the series patch by patch; status 1 if a step is bad.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result for programs, as JSON.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write the same as a page, one file, to this place.")]
