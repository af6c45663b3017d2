# SPDX-License-Identifier: GPL-2.0-or-later
"""The client's side of a pool of machines: give out guests and builds, bring the results into the cache.

A worker that dies costs time and nothing else: the scheduler gives its orders to another. A worker whose identity
is another than ours gets no orders; it is named once, with what differs.
"""

from __future__ import annotations

import atexit
import logging
import queue
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from distributed import Client, Future, KilledWorker

from harness.build import kernel, packs
from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.build.store import Ref, Store
from harness.errors import FaultloopError, InfrastructureError
from harness.jobs import address as addresses
from harness.jobs import errand, orders, worker
from harness.jobs.identity import differences, identity, resource
from harness.jobs.orders import Bundle, File, Reply
from harness.model import BuiltKernel, Emulator, GuestImage, Kernel, Series, Setup
from harness.shown import one_line
from harness.sources import archive

OnReply = Callable[[int, Reply], None]
Say = Callable[[str], None]

_CONNECT_SECONDS = 10
_LOOK_SECONDS = 2.0
PATIENCE = 60.0
"""Seconds without any worker that would do, after which what is left is given up."""
_STOP_SECONDS = 30.0
_BUILD = {"build": 1.0}


@dataclass(frozen=True, slots=True)
class Task:
    """An order with what a worker must offer to get it."""

    name: str
    order: str
    needs: Mapping[str, float]


class Cluster:
    """See the module's text. Connects when it is first needed."""

    def __init__(self, url: str, *, cache: Cache, sandbox: Callable[[], Sandbox], say: Say) -> None:
        self.address = addresses.parse(url)
        self._security = addresses.security(self.address, "client")
        self._store = Store(worker.store_of(self.address))
        self._cache = cache
        self._sandbox = sandbox
        self._say = say
        self._refs: dict[Path, Ref] = {}
        self._met: dict[str, bool] = {}
        """Workers that were looked at, and whether each will do."""

    def guests(
        self,
        todo: Sequence[tuple[Any, Path]],
        emulator: Emulator,
        image: GuestImage,
        on_end: Callable[[int, FaultloopError | None], None],
    ) -> list[FaultloopError | None]:
        """Run guests (`GuestJob`, and where its logs go), as many at once as fit; the error of each."""
        errors: list[FaultloopError | None] = [None] * len(todo)
        tasks = [
            Task(job.name, orders.dump(self._guest_order(job, emulator, image)), _room(job.setup))
            for job, _ in todo
        ]

        def on_reply(number: int, reply: Reply) -> None:
            errors[number] = self._keep_logs(reply, todo[number][1])
            on_end(number, errors[number])

        self._run(tasks, on_reply)
        return errors

    def kernel(
        self, source: Kernel, series: Series, fragments: Sequence[str], *, on_output: Callable[[str], None]
    ) -> None:
        """See to it that the cache has all that :func:`kernel.build` would build. Its errors, from a worker."""
        wanted = kernel.entries(
            source, series, cache=self._cache, sandbox=self._sandbox(), fragments=tuple(fragments)
        )
        missing = [entry for entry in dict.fromkeys([wanted.kernel, wanted.driver]) if not self._cache.get(*entry)]
        if not missing:
            return
        name = f"build of {source.version}"
        self._check_room([Task(name, "", _BUILD)])  # before anything is packed
        if series.patches and not self._cache.get(*wanted.base):
            self.kernel(source, Series(), fragments, on_output=on_output)
        found = [(archive.ROOM, source.tree.parent.name), wanted.base, wanted.kernel]
        found = [entry for entry in dict.fromkeys(found) if entry not in missing]
        on_output("putting sources and base into the store")
        order = orders.BuildOrder(
            kernel=replace(source, tree=Path(source.tree.parent.name)),
            series=self._store.put_bytes(orders.dump_series(series)),
            fragments=tuple(fragments),
            needs={"/".join(entry): packs.send(self._cache, self._store, *entry) for entry in found},
            gives=tuple("/".join(entry) for entry in missing),
        )
        replies: list[Reply] = []
        on_output("building on another machine")
        self._run([Task(name, orders.dump(order), _BUILD)], lambda _, reply: replies.append(reply))
        if replies[0].error is not None:
            raise replies[0].error
        for entry in missing:
            ref = (replies[0].packs or {}).get("/".join(entry))
            if ref is None:
                raise InfrastructureError(f"{name}: the worker's answer lacks what was ordered")
            packs.bring(self._cache, self._store, *entry, ref)

    def close(self) -> None:
        """Leave the pool."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close(timeout=_CONNECT_SECONDS)

    @cached_property
    def _client(self) -> Client:
        """The connection; InfrastructureError when there is none to be had."""
        for name in ("distributed", *(n for n in logging.root.manager.loggerDict if n.startswith("distributed."))):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # we say ourselves what went wrong
        try:
            client = Client(
                self.address.url,
                security=self._security,
                timeout=_CONNECT_SECONDS,
                set_as_default=False,
                name="faultloop",
            )
        except (OSError, TimeoutError) as error:
            raise InfrastructureError(
                f"{self.address.url}: the scheduler cannot be reached: {one_line(str(error))}; is it running "
                "there, and with certificates of the same CA?"
            ) from error
        atexit.register(self.close)
        self._store.sweep()
        return client

    @cached_property
    def _identity(self) -> dict[str, str]:
        return identity(self._store, self._sandbox())

    def _workers(self) -> list[dict[str, float]]:
        """What each worker that will do offers. One that will not is told of when it is first seen."""
        found = []
        try:
            scheduler = self._client.scheduler
            known = self._client.sync(scheduler.identity, n_workers=-1)["workers"] if scheduler else {}
        except OSError:
            return []  # the scheduler is gone: the tasks will say so
        for where, told in known.items():
            if where not in self._met:
                theirs = told.get(worker.IDENTITY)
                wrong = (
                    differences(self._identity, theirs)
                    if isinstance(theirs, dict)
                    else ["it was not started by `faultloop worker`"]
                )
                self._met[where] = not wrong
                if wrong:
                    self._say(f"worker {told.get('name')} ({where}) is not used: {', '.join(wrong)}")
            if self._met[where]:
                found.append(dict(told.get("resources") or {}))
        return found

    def _check_room(self, tasks: Sequence[Task]) -> None:
        """InfrastructureError when no worker could ever take one of the tasks."""
        workers = self._workers()
        if not workers:
            more = "the others are not used, as said" if self._met else "start one with `faultloop worker`"
            raise InfrastructureError(f"{self.address.url}: no worker for this: {more}")
        for task in tasks:
            if not any(
                all(offers.get(what, 0) >= much for what, much in task.needs.items()) for offers in workers
            ):
                raise InfrastructureError(f"{self.address.url}: {task.name}: {_wanting(task, workers)}")

    def _run(self, tasks: Sequence[Task], on_reply: OnReply) -> None:
        """Have the tasks done; ``on_reply`` gets each one's number and reply. An exception cancels the rest."""
        if not tasks:
            return
        self._check_room(tasks)
        ours = {resource(self._identity): 1.0}
        run = uuid.uuid4().hex
        ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        futures = []
        for number, task in enumerate(tasks):
            future = self._client.submit(
                worker.carry_out,
                task.order,
                key=f"faultloop-{run}-{number}",
                pure=False,
                resources={**task.needs, **ours},
            )
            future.add_done_callback(lambda _, number=number: ended.put(number))
            futures.append(future)
        left = set(range(len(tasks)))
        try:
            watch = _Watch(self._workers)
            while left:
                try:
                    number = ended.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    if watch.deserted():
                        break
                    continue
                left.discard(number)
                on_reply(number, self._reply(futures[number], tasks[number]))
                futures[number].release()
        finally:
            self._withdraw([futures[number] for number in left])
        for number in sorted(left):
            gone = InfrastructureError(
                f"{tasks[number].name}: no worker was left for {PATIENCE:.0f} s; the same command goes on where "
                "this one ended"
            )
            on_reply(number, Reply(gone))

    def _reply(self, future: Future[str], task: Task) -> Reply:
        try:
            reply = orders.load_reply(future.result())
        except KilledWorker as error:
            return Reply(
                InfrastructureError(
                    f"{task.name}: {error.allowed_failures + 1} workers died over it, the last one at "
                    f"{error.last_worker.address}"
                )
            )
        except CancelledError:
            return Reply(InfrastructureError(f"{task.name}: {self.address.url}: the scheduler is gone"))
        except FaultloopError as error:
            return Reply(error)
        except Exception as error:  # noqa: BLE001 - what a worker raises can be anything
            return Reply(InfrastructureError(f"{task.name}: a worker failed: {error!r}"))
        return reply

    def _withdraw(self, futures: Sequence[Future[str]]) -> None:
        """Cancel tasks, and wait until no worker has a process of one."""
        if not futures or self._client.status != "running":
            return
        keys = [future.key for future in futures]
        deadline = time.monotonic() + _STOP_SECONDS
        try:
            self._client.cancel(list(futures), force=True)
            while time.monotonic() < deadline:
                left = self._client.run(worker.still_running, keys, on_error="ignore")
                if not any(left.values()):
                    return
                time.sleep(0.1)
        except (OSError, TimeoutError, CancelledError, RuntimeError):
            return  # the scheduler is gone: its workers end by themselves
        self._say("some workers still clean up after what was cancelled")

    def _keep_logs(self, reply: Reply, where: Path) -> FaultloopError | None:
        """Lay a guest's logs out in ``where``; the error of the guest, or of the way here."""
        ref = (reply.packs or {}).get(errand.RECORD)
        if ref is None:
            return reply.error or InfrastructureError(
                f"{where.name}: the worker's answer lacks the guest's record"
            )
        try:
            where.mkdir()
            packs.get_folder(self._store, ref, where, scratch=where.parent)
        except FaultloopError as error:
            return reply.error or error
        return reply.error

    def _guest_order(self, job: Any, emulator: Emulator, image: GuestImage) -> orders.GuestOrder:
        built: BuiltKernel = job.built
        modules = {f"modules/{path.name}": path for path in built.modules}
        return orders.GuestOrder(
            variant=job.variant,
            kernel_name=built.kernel.name,
            kernel_version=built.kernel.version,
            setup=job.setup,
            paths=tuple(w.path for w in job.workloads),
            sites=tuple(job.sites),
            kernel=self._bundle({"Image": built.image, "config": built.config, **modules}),
            emulator=self._bundle({errand.EMULATOR: emulator.binary}, 0o755),
            emulator_version=emulator.version,
            guest=self._bundle(
                {"initramfs": image.initramfs, "disk": image.disk, "client_key": image.client_key}, 0o600
            ),
            host_key=image.host_key,
        )

    def _bundle(self, files: Mapping[str, Path], mode: int = 0o644) -> Bundle:
        """Put files into the store, each once."""
        for path in files.values():
            if path not in self._refs:
                self._refs[path] = self._store.put(path)
        return tuple(File(name, self._refs[path], mode) for name, path in files.items())


class _Watch:
    """Tells when there has been no worker for too long."""

    def __init__(self, workers: Callable[[], Sequence[object]]) -> None:
        self._workers = workers
        self._seen = time.monotonic()

    def deserted(self) -> bool:
        if self._workers():
            self._seen = time.monotonic()
        return time.monotonic() - self._seen > PATIENCE


def _room(setup: Setup) -> dict[str, float]:
    """What a worker needs for a guest: a core for each of its CPUs, and KVM if that is asked for."""
    needs = {"guest": float(setup.cpus)}
    return needs | {"kvm": 1.0} if setup.accel == "kvm" else needs


def _wanting(task: Task, workers: Sequence[Mapping[str, float]]) -> str:
    """Why no worker takes it, and the way out."""
    for what, much in task.needs.items():
        most = max(offers.get(what, 0.0) for offers in workers)
        if most < much and what == "build":
            return "no worker builds kernels: start one with `faultloop worker --build`"
        if most < much and what == "kvm":
            return "no worker has KVM (an arm64 host with /dev/kvm)"
        if most < much:
            return f"needs {much:g} cores, and no worker offers more than {most:g} (`faultloop worker --guests`)"
    return "no worker offers all of it at once"
