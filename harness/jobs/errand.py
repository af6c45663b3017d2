# SPDX-License-Identifier: GPL-2.0-or-later
"""Carry out one order, in a process of its own: ``python -m harness.jobs.errand``, order in, reply out.

A process for each, not a thread of the worker's: SIGTERM unwinds it, QEMU and sandbox with it, and it gets that
when the worker ends, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from harness import layout
from harness.build import kernel, packs
from harness.build.cache import Cache
from harness.build.sandbox import of_user
from harness.build.store import VARIABLE, Store
from harness.errors import ExitStatus, FaultloopError, InfrastructureError, defect
from harness.interruption import unwind
from harness.jobs import guests, orders, pool
from harness.jobs.orders import BuildOrder, GuestOrder, Reply
from harness.model import BuiltKernel, Emulator, GuestImage, Kernel, Series, Workload
from harness.sources import archive
from harness.temporary import temporary

RECORD = "record"
"""Name of a guest's pack in the reply."""
EMULATOR = "qemu-system-aarch64"
_VERSION_SECONDS = 30


def main() -> int:
    """Parent's pid as the argument, the order on standard input; the reply on standard output."""
    try:
        unwind()
        pool.end_with(int(sys.argv[1]))
        reply = _do(sys.stdin.read())
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    sys.stdout.write(orders.dump_reply(reply))
    sys.stdout.flush()
    return 0


def _do(text: str) -> Reply:
    try:
        order = orders.load(text)
        cache = Cache(layout.cache_root(), notice=lambda line: print(line, file=sys.stderr, flush=True))
        store = Store(os.environ[VARIABLE])
        return _guest(order, cache, store) if isinstance(order, GuestOrder) else _build(order, cache, store)
    except FaultloopError as error:
        return Reply(error)
    except Exception as error:  # noqa: BLE001 - a defect of ours must reach the client as an error, not a silence
        return Reply(defect(error))


def _guest(order: GuestOrder, cache: Cache, store: Store) -> Reply:
    emulator = _emulator(order, cache, store)
    image = _image(order, orders.materialise(cache, store, order.guest))
    job = guests.GuestJob(
        order.variant,
        _kernel(order, orders.materialise(cache, store, order.kernel)),
        order.setup,
        tuple(Workload(path, "", "") for path in order.paths),
        order.sites,
    )
    with temporary("guest") as scratch:
        where = Path(scratch, RECORD)
        failure: FaultloopError | None = None
        try:
            guests.record(job, emulator, image, where)
        except FaultloopError as error:
            failure = error
        made = {RECORD: packs.put_folder(store, where, scratch=Path(scratch))} if where.is_dir() else {}
    return Reply(failure, made)


def _emulator(order: GuestOrder, cache: Cache, store: Store) -> Emulator:
    """The client's; InfrastructureError when it does not run here as it does there."""
    folder = orders.materialise(cache, store, order.emulator)
    binary = folder / EMULATOR
    done = subprocess.run(
        [str(binary), "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_VERSION_SECONDS,
    )
    if order.emulator_version not in done.stdout.splitlines():
        said = (done.stderr or done.stdout).strip()
        raise InfrastructureError(f"{os.uname().nodename}: the emulator does not run here", detail=said)
    return Emulator(binary, "", order.emulator_version, "")


def _image(order: GuestOrder, folder: Path) -> GuestImage:
    return GuestImage(
        initramfs=folder / "initramfs",
        disk=folder / "disk",
        client_key=folder / "client_key",
        host_key=order.host_key,
        key="",
    )


def _kernel(order: GuestOrder, folder: Path) -> BuiltKernel:
    """As much of it as a guest needs."""
    return BuiltKernel(
        kernel=Kernel(order.kernel_name, order.kernel_version, "", "", Path()),
        series=Series(),
        key="",
        image=folder / "Image",
        # In the client's order: the archive of modules is the same then.
        modules=tuple(folder / file.name for file in order.kernel if file.name.startswith("modules/")),
        config=folder / "config",
        log=Path(),
        release="",
        image_sha256="",
        objects=0,
        seconds=0.0,
    )


def _build(order: BuildOrder, cache: Cache, store: Store) -> Reply:
    for name, ref in order.needs.items():
        room, key = name.split("/")
        packs.bring(cache, store, room, key, ref)
    source = cache.get(archive.ROOM, str(order.kernel.tree))
    if source is None:
        raise InfrastructureError("the source of a kernel did not come with the order for it")
    kernel.build(
        replace(order.kernel, tree=source / archive.TREE),
        orders.load_series(store.read(order.series)),
        cache=cache,
        sandbox=of_user(),
        fragments=order.fragments,
    )
    made = {}
    for name in order.gives:
        room, key = name.split("/")
        made[name] = packs.send(cache, store, room, key)
    return Reply(packs=made)


if __name__ == "__main__":
    sys.exit(main())
