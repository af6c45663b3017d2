# SPDX-License-Identifier: GPL-2.0-or-later
"""One context manager owns a guest; whatever leaves its block, the guest is gone and its logs are complete.

QEMU, console, QMP and SSH each have a thread. They share one condition, the *bell*: whoever has news rings,
and the caller's thread, which waits for something with a deadline, looks up. So a panic ends a wait at once,
and an interruption finds the caller in a wait that it can leave.

Every link to QEMU is an inherited socket pair or memory file: there is no path to collide on or to remove.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from harness.errors import FaultloopError, GuestError, GuestHung
from harness.vm import command, initramfs, probe
from harness.vm.attempt import Attempt
from harness.vm.autopsy import WATCH, Autopsy
from harness.vm.clock import Clock
from harness.vm.command import Wiring
from harness.vm.console import BoundedLog, Console
from harness.vm.process import Process
from harness.vm.qmp import Event, Qmp, flatten
from harness.vm.spec import CommandResult, Deadlines, End, GuestSpec, Timings
from harness.vm.ssh import Ssh
from harness.vm.usernet import established, forwarded_port

__all__ = ["CommandResult", "Deadlines", "End", "Guest", "GuestSpec", "Timings"]

_T = TypeVar("_T")

SMMU = "/machine/smmuv3"
"""QOM path of the SMMU on the virt machine."""

_READY = re.compile(r"faultloop: ready\b")
_EXPLAIN_SECONDS = 5.0
_QUIT_SECONDS = 2.0
_JOIN_SECONDS = 5.0
_TAIL_LINES = 60


class Guest:
    """A guest, booted by ``with`` and shut down when the block is left.

    Entering returns when the guest is ready and SSH is connected. It raises GuestPanicked, GuestHung or
    GuestStopped when the kernel is at fault, GuestError when we or the host are. After any of these the guest
    can only be left. Methods are for one thread at a time.
    """

    _process: Process
    _console: Console
    _qmp: Qmp
    _ssh: Ssh
    _autopsy: Autopsy

    def __init__(self, spec: GuestSpec, logs: Path) -> None:
        self.spec = spec
        self.logs = logs
        self.timings = Timings()
        self.notes: list[str] = []
        """What was found when the guest was silent for long and yet not hung."""
        self.port = 0
        """Of the loopback interface, forwarded to the guest's SSH server."""
        self._bell = threading.Condition()
        self._began = 0.0
        self._end: End | None = None
        self._lines: list[str] = []
        self._on_line: Callable[[str], None] | None = None
        self._last_words: tuple[str, int] | None = None
        """Of the command that runs, and the line of the console that it began at."""
        self._last: threading.Thread | None = None
        self._stack = ExitStack()

    @property
    def end(self) -> str:
        """How the guest ended (:class:`End`); empty while it lives."""
        return self._end or ""

    def __enter__(self) -> Self:
        try:
            self._start()
            self._watch("boot", self.spec.deadlines.boot, lambda: self._console.seen("ready") is not None)
            self.timings.ready = self._elapsed()
            # SSH goes on trying for longer than that: a guest that is not to be reached is examined.
            bound = self.spec.deadlines.connect
            self._attend("SSH connect", lambda: self._ssh.connect(self.port, 2 * bound), bound)
            self.timings.connected = self._elapsed()
        except BaseException:
            self._conclude()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._end is None:
                # How it ended is in `end`; nobody asked for more.
                with suppress(FaultloopError):
                    self.power_off()
        finally:
            self._conclude()

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: float | None = None,
        on_line: Callable[[str], None] | None = None,
        last_words: str = "",
    ) -> CommandResult:
        """Run a command as the guest's root, to its end, with no standard input.

        ``on_line`` gets each line of standard output as it comes, in the caller's thread. Output of either
        stream or of the console resets the clock of silence; ``deadline`` (seconds) is not reset by anything.
        ``last_words`` are what the console has of a command that comes to its end.
        """
        bound = self.spec.deadlines.command if deadline is None else deadline
        self._on_line = on_line
        self._last_words = (last_words, self._console.lines) if last_words else None
        return self._attend(
            f"`{shlex.join(argv)}`", lambda: self._ssh.run(argv, self._relay if on_line else None), bound
        )

    def put(self, source: Path, target: str, *, deadline: float | None = None) -> None:
        """Copy a file into the guest (SFTP)."""
        bound = self.spec.deadlines.transfer if deadline is None else deadline
        self._attend(f"put {target}", lambda: self._ssh.put(source, target), bound)

    def fetch(self, source: str, target: Path, *, deadline: float | None = None) -> None:
        """Copy a file out of the guest (SFTP)."""
        bound = self.spec.deadlines.transfer if deadline is None else deadline
        self._attend(f"fetch {source}", lambda: self._ssh.fetch(source, target), bound)

    def counters(self) -> dict[str, int]:
        """All of the SMMU's counters, in one QMP read; also after :meth:`power_off`."""
        return flatten(self._get(SMMU, "stats"))

    def smmu(self, names: Iterable[str]) -> dict[str, object]:
        """QOM properties of the SMMU."""
        return {name: self._get(SMMU, name) for name in names}

    def journal(self) -> Mapping[str, Any]:
        """The SMMU's journal: ``lost`` and ``records`` (docs/emulator.md)."""
        found: Mapping[str, Any] = self._get(SMMU, "journal")
        return found

    def device_events(self) -> tuple[Event, ...]:
        """What the device told over QMP: ``SVA_TESTDEV_SYNC``, ``SVA_TESTDEV_GAVE_UP``."""
        return tuple(event for event in self._qmp.events if event.name.startswith("SVA_TESTDEV_"))

    def cpu_type(self) -> str:
        """QOM type of the first virtual CPU."""
        cpus = self._qmp.execute("query-cpus-fast", deadline=self.spec.deadlines.qmp)
        return str(self._get(str(cpus[0]["qom-path"]), "type"))

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The console's last lines."""
        return self._console.tail(lines)

    def power_off(self) -> None:
        """Have the guest power itself off. What it does instead is raised as by :meth:`run`.

        QEMU stays, paused, until the block is left, so that counters can still be read.
        """
        self._require_life()
        attempt = self._attempt(lambda: self._ssh.run(["poweroff", "-f"], None))

        def done() -> bool:
            return self._autopsy.lost() or (
                attempt.done() and (attempt.error is not None or attempt.value.status != 0)
            )

        self._watch("power-off", self.spec.deadlines.power_off, done, unasked=False)
        if attempt.error is not None:
            self._look_for_loss()
        if self._autopsy.end() is not End.POWEROFF:
            if self._autopsy.lost():
                self._mourn("power-off")
            attempt.result()
            raise GuestError(f"`poweroff -f` failed in the guest: {attempt.value.stderr.strip()}")
        self._end = End.POWEROFF

    def _get(self, path: str, name: str) -> Any:
        arguments = {"path": path, "property": name}
        return self._qmp.execute("qom-get", arguments, deadline=self.spec.deadlines.qmp)

    def _start(self) -> None:
        """Start QEMU and the threads that listen to it; return when it answers on QMP."""
        self._check_inputs()
        self.logs.mkdir(parents=True, exist_ok=True)
        with ExitStack() as inherited:
            qmp, qmp_theirs = _pair(inherited)
            console, console_theirs = _pair(inherited)
            memory = initramfs.assemble(self.spec.initramfs, self.spec.modules)
            inherited.callback(os.close, memory)
            descriptors = (qmp_theirs, console_theirs, memory)
            wiring = Wiring(qmp_theirs, console_theirs, Path(f"/proc/self/fd/{memory}"))
            argv = command.qemu(self.spec, wiring)
            (self.logs / "qemu.cmd").write_text(shlex.join(argv) + "\n", encoding="utf-8")
            self._assemble(argv, descriptors, qmp, console)
            self._began = time.monotonic()
            self._process.start()
        self._console.start()
        try:
            self._qmp.connect(self.spec.deadlines.start)
            self._qmp.execute("cont", deadline=self.spec.deadlines.qmp)
            forwards = self._qmp.hmp("info usernet", deadline=self.spec.deadlines.qmp)
        except GuestError as error:
            self._process.wait(_EXPLAIN_SECONDS)
            if self._process.status is not None:
                self._mourn("start")
            error.detail = error.detail or self._autopsy.qemu_said()
            raise
        self.timings.qmp = self._elapsed()
        self.port = forwarded_port(forwards)

    def _assemble(
        self, argv: Sequence[str], descriptors: Sequence[int], qmp: socket.socket, console: socket.socket
    ) -> None:
        """Make the parts; what is pushed last is closed first: QEMU, so that all others see their end."""
        log = BoundedLog(self.logs / "console.log")
        self._console = Console(console, log, watch={**WATCH, "ready": _READY}, bell=self._bell)
        self._stack.callback(self._console.close)
        self._qmp = Qmp(qmp, self.logs / "qmp.log", bell=self._bell)
        self._stack.callback(self._qmp.close)
        self._ssh = Ssh(
            client_key=self.spec.client_key,
            host_key=self.spec.host_key,
            log=self.logs / "ssh.log",
            on_progress=self._console.touch,
        )
        self._stack.callback(self._ssh.close)
        stderr = self.logs / "qemu.stderr"
        self._process = Process(argv, pass_fds=descriptors, stderr=stderr, bell=self._bell)
        self._stack.callback(self._process.close)
        self._autopsy = Autopsy(self._console, self._qmp, self._process, self._bell, self.logs)

    def _check_inputs(self) -> None:
        spec = self.spec
        for path in (spec.emulator, spec.kernel, spec.initramfs, spec.disk, spec.client_key, *spec.modules):
            if not path.is_file():
                raise GuestError(f"cannot start a guest: no such file: {path}")

    def _attend(self, what: str, operation: Callable[[], _T], deadline: float) -> _T:
        """Have ``operation`` done in another thread, while this one looks after the guest."""
        self._require_life()
        attempt = self._attempt(operation)
        self._watch(what, deadline, attempt.done)
        if isinstance(attempt.error, GuestError) and not self._ssh.alive:
            self._look_for_loss()
            if self._autopsy.lost():
                self._mourn(what)
        return attempt.result()

    def _look_for_loss(self) -> None:
        """A lost connection is a symptom: what became of the guest is known in a moment."""
        with self._bell:
            self._bell.wait_for(self._autopsy.lost, _EXPLAIN_SECONDS)

    def _attempt(self, operation: Callable[[], _T]) -> Attempt[_T]:
        attempt = Attempt(operation, self._bell)
        attempt.start()
        self._last = attempt
        return attempt

    def _watch(self, what: str, deadline: float, done: Callable[[], bool], *, unasked: bool = True) -> None:
        """Wait until ``done``; raise when the guest ends, hangs or takes longer than ``deadline`` seconds.

        Time that the guest could not run, for want of a host CPU, does not count.

        ``unasked``: an end of the guest is an error, unless ``done`` is true of it.
        """
        clock = Clock(self._process, deadline)
        silence = self.spec.deadlines.silence
        while True:
            patience = min(clock.left(), silence - self._console.silence)
            with self._bell:
                self._bell.wait_for(
                    lambda: done() or self._autopsy.lost() or bool(self._lines), max(0.0, patience)
                )
            self._deliver()
            if done():
                return
            if unasked and self._autopsy.lost():
                self._mourn(what)
            if clock.left() <= 0:
                raise self._hung(what, f"no end within its deadline of {deadline:g} s")
            if self._console.silence >= silence:
                self._examine(what, done)

    def _examine(self, what: str, done: Callable[[], bool]) -> None:
        """Nothing was heard for as long as the silence bound: raise when the guest is hung, else go on."""
        silence = self._console.silence
        finding = probe.examine(self._qmp, self._console, self._process, self.spec.deadlines.qmp)
        # To look takes a second or more: what was waited for may have come meanwhile, and left the guest idle.
        if finding.hung and not self._autopsy.lost() and not done():
            raise self._hung(what, f"nothing heard for {silence:.0f} s, and {finding.why}", finding)
        self.notes.append(f"silent for {silence:.0f} s during {what}: {finding.text()}")
        self._console.touch()

    def _hung(self, what: str, why: str, finding: probe.Finding | None = None) -> FaultloopError:
        """Gather what can be known of a hung guest; the error to raise.

        It is ours when QEMU is silent, and when it is the way to an idle guest that is stuck.
        """
        tail, bound = self._console.tail(_TAIL_LINES), self.spec.deadlines.qmp
        stuck, silent = False, ""
        try:
            found = finding or probe.examine(self._qmp, self._console, self._process, bound)
            stuck = found.idle and self._stuck()
            tried = [*found.tried, *probe.dump(self._qmp, self._console, self._process, bound)]
        except GuestError as error:
            tried, silent = [error.message], error.message
        detail = "\n".join(["What was tried:", *tried, "", "Last on the console before that:", tail])
        threads = "\n".join(probe.own_threads())
        (self.logs / "hang.txt").write_text(f"{what}: {why}\n\n{detail}\n\nOur own threads:\n{threads}\n")
        if stuck or silent:
            self._end = End.KILLED
            said = silent or "the SSH session with an idle guest is stuck"
            return GuestError(f"{said} (in {what}: {why})", detail=detail)
        self._end = End.HANG
        return GuestHung(f"the guest hung during {what}: {why}", detail=detail)

    def _stuck(self) -> bool:
        """Whether SSH, not the kernel, owes an idle guest what is late."""
        if not self.timings.ready or self._console.seen("blocked"):
            return False
        if not self.timings.connected:
            # One that takes or refuses the connection has a network that works, and no server that does.
            usernet = self._qmp.hmp("info usernet", deadline=self.spec.deadlines.qmp)
            return self._ssh.refused or established(usernet, self.port)
        words, since = self._last_words or ("", 0)
        if not self._ssh.served or not words:
            return not self._ssh.served
        return self._console.wait_for(re.compile(re.escape(words)), 0, since) is not None

    def _mourn(self, what: str) -> NoReturn:
        """Raise what the guest that was lost during ``what`` died of."""
        error = self._autopsy.error(what, self.spec.deadlines.qmp)
        self._end = self._autopsy.end() or End.KILLED
        raise error

    def _require_life(self) -> None:
        if self._end is not None or not hasattr(self, "_autopsy"):
            raise GuestError(f"the guest is gone ({self.end or 'not booted'})")

    def _relay(self, line: str) -> None:
        with self._bell:
            self._lines.append(line)
            self._bell.notify_all()

    def _deliver(self) -> None:
        with self._bell:
            lines, self._lines = self._lines, []
        if self._on_line is not None:
            for line in lines:
                self._on_line(line)

    def _conclude(self) -> None:
        """QEMU is gone and every log complete when this returns."""
        try:
            if hasattr(self, "_autopsy"):
                self._end = self._end or self._autopsy.end() or End.KILLED
                if self._end is End.POWEROFF:
                    self._quit()
        finally:
            self._end = self._end or End.KILLED
            self._stack.close()
            if self._last is not None:
                self._last.join(_JOIN_SECONDS)
            if self._began:
                self.timings.ended = self._elapsed()

    def _quit(self) -> None:
        """Let a QEMU whose guest is off end in order; it is killed next if it does not."""
        with suppress(GuestError):
            self._qmp.execute("quit", deadline=_QUIT_SECONDS)
        self._process.wait(_QUIT_SECONDS)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def _pair(inherited: ExitStack) -> tuple[socket.socket, int]:
    """A socket of ours, and the descriptor of its peer, ours to close when QEMU has it."""
    ours, theirs = socket.socketpair()
    inherited.callback(theirs.close)
    return ours, theirs.fileno()
