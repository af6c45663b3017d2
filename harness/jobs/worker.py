# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop worker``: offer this machine to a Dask scheduler; and ``faultloop scheduler``.

What a worker offers are Dask resources: ``guest`` (a core each), ``build``, ``kvm``, and one named by its
identity, which every order asks for: so the scheduler gives work only to workers whose tools are the client's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Reschedule, Scheduler, Worker, get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from harness import layout
from harness.build.sandbox import of_user
from harness.build.store import VARIABLE, Store
from harness.errors import InfrastructureError, UserError
from harness.interruption import SIGNALS
from harness.jobs import address as addresses
from harness.jobs import orders
from harness.jobs.address import Address
from harness.jobs.identity import Identity, identity, resource

IDENTITY = "faultloop"
"""Where a worker's identity is among what the scheduler knows of it."""
PLENTY = 1e9
_STOP_SECONDS = 20.0
"""How long an errand may take to clean up after SIGTERM before it is killed."""
_QUIET: Mapping[str, object] = {
    "distributed.worker.http.routes": [],
    "distributed.scheduler.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.gil.enabled": False,
}
"""No pages over HTTP, and none of Dask's own measurements: they cost 4 % of a core at rest."""
_LOCAL_PAGE = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker has to offer."""

    guests: int
    builds: int
    kvm: bool

    def resources(self, parts: Identity) -> dict[str, float]:
        found = {"guest": float(self.guests), "build": float(self.builds), resource(parts): PLENTY}
        return found | ({"kvm": float(self.guests)} if self.kvm else {})


def offer(guests: int | None, *, build: bool) -> Offer:
    """What this machine can do; ``guests``: how many at once, by default one for each core."""
    cores = len(os.sched_getaffinity(0))
    guests = cores if guests is None else guests
    if guests < 0 or not (guests or build):
        raise UserError("a worker without --build and without guests has nothing to offer")
    kvm = os.uname().machine == "aarch64" and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return Offer(guests, int(build), kvm)


class Errands(WorkerPlugin):
    """The processes that carry out a worker's orders: each ends with its task, and all with the worker."""

    name = "faultloop"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[str] | None] = {}
        self._unwanted: set[str] = set()

    def transition(self, key: Any, start: str, finish: str, **_more: Any) -> None:
        """A task that leaves ``executing`` for anything but its end is not wanted any more."""
        if start in ("executing", "long-running") and finish not in ("memory", "error", "long-running"):
            self.stop(str(key))
        elif finish == "executing":
            with self._lock:
                self._unwanted.discard(str(key))

    async def teardown(self, worker: Worker) -> None:
        """The worker ends: nothing of it is left running."""
        for key in self.running():
            self.stop(key)
        for _ in range(int(_STOP_SECONDS * 10) + 50):
            if not self.running():
                return
            await asyncio.sleep(0.1)

    def running(self) -> list[str]:
        """Keys of the tasks that have a process."""
        with self._lock:
            return list(self._running)

    def stop(self, key: str) -> None:
        """SIGTERM now, SIGKILL when that was not enough."""
        with self._lock:
            self._unwanted.add(key)
            process = self._running.get(key)
            if process is not None:
                process.terminate()
                last = threading.Timer(_STOP_SECONDS, process.kill)
                last.daemon = True
                last.start()

    def carry_out(self, key: str, order: str) -> str:
        """Run an order to its end; the reply, as text. Called in a thread of the worker.

        Reschedule when it is stopped before that: another worker takes it, unless nobody wants it any more.
        """
        argv = [sys.executable, "-P", "-m", "harness.jobs.errand", str(os.getpid())]
        paths = [str(layout.project().root), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with self._entered(key):
            with self._lock:
                if key in self._unwanted:
                    raise Reschedule
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=environment,
                    start_new_session=True,
                )
                self._running[key] = process
            reply, _ = process.communicate(order)
            if process.returncode == 0:
                return reply
            with self._lock:
                if key in self._unwanted:
                    raise Reschedule
            why = f"an order's process ended without a word (status {process.returncode})"
            return orders.dump_reply(orders.Reply(InfrastructureError(why)))

    @contextlib.contextmanager
    def _entered(self, key: str) -> Iterator[None]:
        with self._lock:
            self._running[key] = None
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(key)
                self._unwanted.discard(key)


def carry_out(order: str) -> str:
    """What a client sends to a worker, with the order: run there."""
    worker = get_worker()
    return _errands(worker).carry_out(str(worker.get_current_task()), order)


def still_running(keys: list[str], dask_worker: Worker | None = None) -> list[str]:
    """Those of the client's tasks that have a process on this worker."""
    assert dask_worker is not None
    return [key for key in _errands(dask_worker).running() if key in keys]


def _errands(worker: Worker) -> Errands:
    found = worker.plugins.get(Errands.name)
    if not isinstance(found, Errands):
        raise RuntimeError("not a worker that faultloop started")
    return found


def work(
    scheduler: str, *, guests: int | None, build: bool, store: str, host: str, name: str, wait: float
) -> None:
    """Serve until a signal comes (KeyboardInterrupt) or the scheduler goes (InfrastructureError)."""
    address = addresses.parse(scheduler)
    offered = offer(guests, build=build)
    url = store_of(address, store)
    os.environ[VARIABLE] = url
    parts = identity(Store(url), of_user())
    dask.config.set(_QUIET)
    security = addresses.security(address, "worker")
    print(f"worker for {address.url}: {offered.guests} guests, {offered.builds} builds, store {Store(url).shown}")

    async def serve() -> str:
        worker = Worker(
            address.url,
            nthreads=max(1, offered.guests + offered.builds),
            name=name or f"{os.uname().nodename}-{os.getpid()}",
            resources=offered.resources(parts),
            security=security,
            host="127.0.0.1" if address.loopback else host or None,
            protocol=address.protocol,
            plugins=(Errands(),),
            startup_information={IDENTITY: lambda _worker: dict(parts)},
            memory_limit=0,
            death_timeout=wait,
            dashboard_address=_LOCAL_PAGE,
        )
        return await _until_signal(worker, f"scheduler {address.url}")

    _serve(serve, address, "the scheduler cannot be reached")


def schedule(listen: str) -> None:
    """Run a scheduler until a signal comes (KeyboardInterrupt)."""
    address = addresses.parse(listen)
    security = addresses.security(address, "scheduler")
    dask.config.set(_QUIET)

    async def serve() -> str:
        scheduler = Scheduler(
            host=address.host,
            port=address.port,
            protocol=address.protocol,
            security=security,
            dashboard=False,
            dashboard_address=_LOCAL_PAGE,
        )
        return await _until_signal(scheduler, "the scheduler")

    _serve(serve, address, "a scheduler cannot listen there")


def store_of(address: Address, named: str = "") -> str:
    """The store's URL: what was named, or a folder of the cache where all of the pool is on this machine."""
    url = named or os.environ.get(VARIABLE, "")
    if url:
        return url
    if not address.loopback:
        raise UserError(f"{address.url}: name the store that all machines of the pool reach, in {VARIABLE}")
    return (layout.cache_root() / "store").as_uri()


async def _until_signal(server: Any, what: str) -> str:
    """Run a Dask server; how it ended: ``signal``, or why."""
    loop = asyncio.get_running_loop()
    called = asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, called.set)
    async with server:
        print(f"ready at {server.address}", flush=True)
        ended = {asyncio.create_task(server.finished()), signalled := asyncio.create_task(called.wait())}
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        if signalled.done():
            return "signal"
        signalled.cancel()
    return f"{what} is gone"


def _serve(serve: Any, address: Address, failure: str) -> None:
    try:
        ended = asyncio.run(serve())
    except (OSError, TimeoutError, RuntimeError) as error:
        cause = error.__cause__ or error
        raise InfrastructureError(f"{address.url}: {failure}: {cause}") from error
    if ended == "signal":
        raise KeyboardInterrupt
    raise InfrastructureError(ended)
