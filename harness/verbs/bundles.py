# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs about bundles: runs to send to somebody."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.options import Json
from harness.verbs import common, complete

verbs = typer.Typer()


@verbs.command("bundle")
def bundle(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run; the last one when it is left out.", autocompletion=complete.runs),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The archive; beside the run's folder when left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a run, its kernels, emulator and guest into one archive: enough to have it again without building."""
    from harness.build.cache import Cache, file_sha256
    from harness.jobs.bundle import write as job
    from harness.layout import cache_root

    made = job(run or common.results() / "latest", Cache(cache_root()), output)
    sha256, size = file_sha256(made), made.stat().st_size
    if as_json:
        print(
            json.dumps(
                {"schema": "faultloop/bundled/1", "file": str(made), "sha256": sha256, "bytes": size}, indent=1
            )
        )
    else:
        print(f"{made}\nsha256 {sha256}, {size / (1 << 20):.1f} MiB")


@verbs.command("reproduce")
def reproduce(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or the folder it was unpacked to.")],
    trust_emulator: Annotated[
        bool, typer.Option("--trust-emulator", help="Run the bundle's own QEMU, as you, where ours was not built.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Boot the guests of a bundle again: is the outcome of each path the same? Status 0: yes; 1: no."""
    from harness.jobs.reproduce import reproduce as job
    from harness.report import reproduced

    found, status, folder = job(bundle, common.workshop(), trust_emulator=trust_emulator, results=common.results())
    if not as_json:
        print(f"results  {folder}", file=sys.stderr)
    common.tell_result(found, status, reproduced.show, reproduced.dump, as_json=as_json)
