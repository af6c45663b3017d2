# SPDX-License-Identifier: GPL-2.0-or-later
"""Verbs of a pool of machines (docs/pool.md)."""

from typing import Annotated

import typer

verbs = typer.Typer()


@verbs.command("worker")
def worker(
    scheduler: Annotated[str, typer.Argument(help="tls://host:port, or tcp:// on this machine.")],
    build: Annotated[bool, typer.Option("--build", help="Also build kernels, one at a time.")] = False,
    guests: Annotated[int | None, typer.Option(help="Guests at once; as many as there are cores.")] = None,
    store: Annotated[str, typer.Option(help="URL of the store; by default FAULTLOOP_STORE.")] = "",
    host: Annotated[str, typer.Option(help="Address of this machine that the others reach.")] = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for the scheduler.")] = 30.0,
    name: Annotated[str, typer.Option(help="What it is called in messages; host and pid.")] = "",
) -> None:
    """Offer this machine to the pool of a scheduler: guests run here, and kernels are built."""
    from harness.jobs.worker import work

    work(scheduler, guests=guests, build=build, store=store, host=host, name=name, wait=wait)


@verbs.command("scheduler")
def scheduler(
    listen: Annotated[
        str, typer.Argument(help="tls://host:port, or tcp://127.0.0.1:port.")
    ] = "tcp://127.0.0.1:8786",
) -> None:
    """Run the scheduler of a pool of machines, until it is stopped."""
    from harness.jobs.worker import schedule

    schedule(listen)
