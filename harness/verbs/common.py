# SPDX-License-Identifier: GPL-2.0-or-later
"""What verbs share: the request, the workshop, where results go, and how a result is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO, TypeVar

import typer

from harness.errors import ExitStatus, UserError

if TYPE_CHECKING:
    from harness.jobs.test_patch import Request
    from harness.jobs.workshop import Workshop

_Found = TypeVar("_Found")


def finish(run: object, folder: Path, *, as_json: bool) -> None:
    from harness.model import Run
    from harness.report import document, text

    assert isinstance(run, Run)
    if as_json:
        sys.stdout.write(document.dump(run))
    else:
        text.show(run, sys.stdout, folder=folder)
    sys.stdout.flush()
    raise typer.Exit(run.status)


def tell_result(
    found: _Found,
    status: ExitStatus,
    show: Callable[[_Found, TextIO], None],
    dump: Callable[[_Found, int], str],
    *,
    as_json: bool,
) -> NoReturn:
    """Print what a job found, as its report shows or dumps it, and end with the job's status."""
    if as_json:
        sys.stdout.write(dump(found, status))
    else:
        show(found, sys.stdout)
    sys.stdout.flush()
    raise typer.Exit(status)


def write_page(file: Path, text: str) -> None:
    """Write a page to where the user wants it, and say so beside the result."""
    from harness.jobs import kept

    kept.write(file, text)
    print(f"page: {file}", file=sys.stderr)


def request_of(
    kernel: str,
    setups: str,
    workloads: str,
    accel: str,
    fresh: bool,
    *,
    tree: str = "",
    version: int | None = None,
    patches: Sequence[str] = (),
) -> Request:
    from harness.jobs.test_patch import Request

    return Request(
        kernel=kernel,
        patches=tuple(patches),
        version=version,
        tree=tree,
        setups=setups,
        workloads=workloads,
        accel=accel_of(accel),
        fresh=fresh,
        results=results(),
    )


def workshop(pool: str = "") -> Workshop:
    from harness.jobs.workshop import Workshop

    return Workshop(pool=pool)


def results() -> Path:
    """Where the results of runs are kept."""
    from harness.layout import results_root

    return results_root()


def accel_of(name: str) -> str:
    if name not in ("tcg", "kvm"):
        raise UserError(f"unknown accelerator '{name}': tcg, or kvm on an arm64 host")
    if name == "kvm" and os.uname().machine != "aarch64":
        raise UserError(f"ACCEL=kvm needs an arm64 host; this one is {os.uname().machine}. Leave it out for tcg")
    return name
