# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs about the host and what faultloop itself has."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from harness.options import Json
from harness.verbs import common, complete

if TYPE_CHECKING:
    pass

verbs = typer.Typer()


@verbs.command("workloads")
def workloads(as_json: Json = False) -> None:
    """List the paths: name, what it does, the kernel functions it is about."""
    from harness.jobs.listing import workloads as job

    job(sys.stdout, as_json=as_json)


@verbs.command("doctor")
def doctor(as_json: Json = False) -> None:
    """Check tools, disk, sandbox, sources and SVA preconditions; say what to do about what is missing."""
    from harness.jobs.doctor import doctor as job

    raise typer.Exit(job(sys.stdout, as_json=as_json))


@verbs.command("cache")
def cache(
    remove_unused: Annotated[
        int | None, typer.Option(help="First remove what no run asked for in so many days.", metavar="DAYS")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the cache holds, and remove what is not used any more."""
    from harness.jobs.tidy import cache as job

    job(sys.stdout, unused=remove_unused, as_json=as_json)


@verbs.command("setup")
def setup_all(
    kernels: Annotated[
        list[str],
        typer.Argument(help="Kernels to build: none, or names of kernels.yaml.", autocompletion=complete.kernels),
    ] = [],  # noqa: B006
) -> None:
    """Make the emulator, the guest image and the named base kernels, so that later runs find them in the cache."""
    from harness.build import packages

    packages.require()
    shop = common.workshop()
    shop.emulator  # noqa: B018 - made on first use
    shop.guest_image  # noqa: B018
    for name in kernels:
        shop.variant(shop.kernel(name))
