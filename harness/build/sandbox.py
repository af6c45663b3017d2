# SPDX-License-Identifier: GPL-2.0-or-later
"""Run someone else's build in bubblewrap: no network, nothing of the host but its tools, nothing left running.

A kernel or QEMU build runs Makefiles, Kconfig shell macros and host programs that a patch may have changed.
They see a read-only ``/usr``, the folders that are named, a ``/tmp`` of their own, and no other process of
the host; limits.py says what they may use. docs/sandbox.md lists what is held off, and the test of each.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO

from harness.build import cgroup, terminal, unconfined
from harness.build.limits import LimitExceeded, Limits, of_environment
from harness.build.watch import Watch
from harness.errors import FaultloopError, InfrastructureError, UserError
from harness.mortal import bound
from harness.shown import printable

OnOutput = Callable[[str], None]

VARIABLE = "FAULTLOOP_SANDBOX"
"""``off``: builds run as the user, with all that the user may do."""

UNCONFINED = (
    f"WARNING: {VARIABLE}=off: no sandbox. What is built, with the patch's Makefiles and programs, runs as you: "
    "it can read and write all your files, and use the network"
)
"""Said where nothing is confined, and recorded."""

_TAIL_LINES = 200
_LONGEST_LINE = 8192
"""Bytes of a line; a longer one goes on in the next."""
_SHM_BYTES = 64 << 20
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
_OOM_VICTIM = "1000"


class CommandFailed(FaultloopError):
    """A command in the sandbox ended with a status other than 0. ``detail`` holds the end of its output."""

    def __init__(self, argv: Sequence[str], status: int, tail: Sequence[str]) -> None:
        super().__init__(f"{' '.join(argv[:6])}: exit status {status}", detail="\n".join(tail))
        self.exit_status = status
        self.tail = tuple(tail)


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or folder of the host at a path of the sandbox."""

    source: Path
    target: str
    writable: bool = False


class Sandbox:
    """See the module's text. Works as root and, where user namespaces are allowed, as anyone."""

    def __init__(self, *, tmp_mib: int = 2048, limits: Limits | None = None, confined: bool = True) -> None:
        self._tmp_bytes = tmp_mib << 20
        self.limits = (limits or of_environment()).settled()
        self.confined = confined
        """Whether there is a sandbox at all: not where the user has turned it off."""

    @property
    def mark(self) -> tuple[str, ...]:
        """Part of the key of what is built here: nothing made without a sandbox is taken for made in one."""
        return () if self.confined else ("unconfined",)

    def run(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        on_output: OnOutput | None = None,
        timeout: float | None = None,
        log: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Run ``argv`` to its end; every line it prints, made `printable`, goes to ``on_output`` and to ``log``.

        ``limits`` in place of the sandbox's own; ``timeout`` (seconds of wall time) in place of theirs. When one
        is passed (LimitExceeded), and on any exception while it runs (Ctrl-C), everything in the sandbox is killed
        before this returns. Raises CommandFailed for a status other than 0, and InfrastructureError when the
        sandbox itself cannot be set up.
        """
        limits = (limits or self.limits).settled()
        if timeout is not None:
            limits = replace(limits, seconds=timeout, time_is_ours=True)
        with contextlib.ExitStack() as stack:
            report = stack.enter_context(os.fdopen(os.memfd_create("bwrap-status"), "r+b"))
            groups = stack.enter_context(cgroup.groups(limits))
            command, environment = self._command(argv, binds, env or {}, cwd, report.fileno(), limits, stack)
            process = _start([*groups.join(), *command], environment, report.fileno())
            folders = [bind.source for bind in binds if bind.writable]
            stack.callback(_disarm, folders)
            stack.enter_context(_killed_at_the_end(process))
            sink = stack.enter_context(log.open("a", encoding="utf-8")) if log else None
            watch = Watch(limits, folders, groups, lambda: _reported(report), lambda: _kill(process))
            with watch:
                tail = _stream(process, sink, on_output, watch.printed)
                status = process.wait()
            said = _reported(report)
        self._judge(argv, status, said, tail, watch)

    def interactive(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> int:
        """Run ``argv`` on the user's terminal, by way of one of its own: it cannot type into the user's.

        Returns its status.

        Nobody looks after its time and its output here: that is the user.
        """
        with contextlib.ExitStack() as stack:
            report = stack.enter_context(os.fdopen(os.memfd_create("bwrap-status"), "r+b"))
            argv = [*terminal.TAKE, *argv]
            command, environment = self._command(argv, binds, env or {}, cwd, report.fileno(), self.limits, stack)
            stack.callback(_disarm, [bind.source for bind in binds if bind.writable])
            status = terminal.run(command, environment, keep=report.fileno())
            if status and self.confined and _inner_status(_reported(report)) is None and not _killed(status):
                raise InfrastructureError("bubblewrap cannot set up the sandbox: the lines above say why")
        return status

    def _judge(self, argv: Sequence[str], status: int, said: bytes, tail: Sequence[str], watch: Watch) -> None:
        if watch.breach:
            # Below the host's reserve nobody knows whose fault it is.
            kind = LimitExceeded if watch.limit else InfrastructureError
            raise kind(f"{' '.join(argv[:6])}: {watch.breach}", detail="\n".join(tail))
        if status == 0:
            return
        if self.confined and _inner_status(said) is None and not _killed(status):
            raise _no_sandbox(tail)
        raise CommandFailed(argv, status, tail)

    def _command(
        self,
        argv: Sequence[str],
        binds: Sequence[Bind],
        env: Mapping[str, str],
        cwd: str,
        report: int,
        limits: Limits,
        stack: contextlib.ExitStack,
    ) -> tuple[list[str], dict[str, str]]:
        """Command line and environment."""
        for tool in ("choom", "prlimit"):
            if shutil.which(tool, path=PATH) is None:
                raise InfrastructureError(f"{tool}: not found; install util-linux")
        bounds = [f"--fsize={limits.disk}:{limits.disk}", *_address_space(limits)]
        guard = ["choom", "-n", _OOM_VICTIM, "--", "prlimit", "--core=0:0", *bounds, "--"]
        basic = {"PATH": PATH, "HOME": "/tmp", "LC_ALL": "C", "TZ": "UTC", **env}
        if self.confined:
            # RLIMIT_NPROC counts what runs in a user namespace (Linux 5.14): set in there, it is the sandbox's.
            inner = ["prlimit", f"--nproc={limits.hard_processes}:{limits.hard_processes}", "--", *argv]
            return [*guard, *_bubblewrap(binds, basic, cwd, report, self._tmp_bytes), *inner], {"PATH": PATH}
        scratch = stack.enter_context(unconfined.scratch())
        command, environment = unconfined.translate(
            argv, {**basic, "HOME": scratch, "TMPDIR": scratch}, cwd, {b.target: str(b.source) for b in binds}
        )
        return [*guard, *command], environment


def of_user(limits: Limits | None = None) -> Sandbox:
    """The sandbox, or none where the environment says ``FAULTLOOP_SANDBOX=off``. UserError for other words."""
    said = os.environ.get(VARIABLE, "")
    if said not in ("", "on", "off"):
        raise UserError(f"{VARIABLE}={printable(said)}: it is on, or off")
    return Sandbox(limits=limits, confined=said != "off")


def _address_space(limits: Limits) -> list[str]:
    return [f"--as={limits.memory}:{limits.memory}"] if limits.address_space else []


def _start(command: Sequence[str], environment: Mapping[str, str], report: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            bound(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(report,),
            start_new_session=True,
            env=dict(environment),
        )
    except FileNotFoundError as error:
        raise InfrastructureError(f"{error.filename}: not found; install util-linux") from error


def _bubblewrap(binds: Sequence[Bind], env: Mapping[str, str], cwd: str, report: int, tmp_bytes: int) -> list[str]:
    """The beginning of the command line; the command follows."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise InfrastructureError("bwrap: not found; builds run in bubblewrap: install the package bubblewrap")
    command = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    # A user namespace within would give back capabilities, and with them much of the host's kernel to attack.
    command += ["--unshare-user", "--disable-userns"] if user_namespaces() else []
    command += ["--json-status-fd", str(report), "--hostname", "faultloop"]
    command += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        folder = Path("/", name)
        if folder.is_symlink():
            command += ["--symlink", str(folder.readlink()), str(folder)]
        elif folder.is_dir():
            command += ["--ro-bind", str(folder), str(folder)]
    for etc in ("/etc/alternatives", "/etc/ld.so.cache"):
        command += ["--ro-bind-try", etc, etc]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(tmp_bytes), "--tmpfs", "/tmp"]
    command += ["--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm"]
    for bind in binds:
        command += ["--bind" if bind.writable else "--ro-bind", str(bind.source), bind.target]
    # / and /dev are file systems in memory without a bound; and root's /proc/sys is the host's own.
    command += ["--remount-ro", "/dev", "--remount-ro", "/proc", "--remount-ro", "/"]
    for key, value in env.items():
        command += ["--setenv", key, value]
    return [*command, "--chdir", cwd, "--"]


def user_namespaces() -> bool:
    """Whether this host has them, so far as it can be told without making one."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path("/proc/sys/user/max_user_namespaces").read_text(encoding="ascii")) > 0
    return False


def _stream(
    process: subprocess.Popen[bytes],
    sink: IO[str] | None,
    on_output: OnOutput | None,
    printed: Callable[[int], None],
) -> list[str]:
    """Pass each line on as it comes; the last lines are returned."""
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    while raw := process.stdout.readline(_LONGEST_LINE):
        printed(len(raw))
        line = printable(raw.decode("utf-8", errors="replace").rstrip("\n"))
        if sink is not None:
            sink.write(f"{line}\n")
        tail.append(line)
        if on_output is not None:
            on_output(line)
    return list(tail)


@contextlib.contextmanager
def _killed_at_the_end(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, the process and all it started are gone afterwards."""
    try:
        yield
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()
        if process.stdout is not None:
            # The pipe ends when the last process of the sandbox is gone.
            while process.stdout.read(1 << 16):
                pass
            process.stdout.close()


def _disarm(folders: Sequence[Path]) -> None:
    """Take set-user-ID and set-group-ID from what was written: it belongs to the user, and others could run it."""
    there = [str(folder) for folder in folders if folder.is_dir()]
    if there:
        argv = ["find", *there, "-type", "f", "-perm", "/6000", "-exec", "chmod", "ug-s", "--", "{}", "+"]
        subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _reported(report: BinaryIO) -> bytes:
    """What bubblewrap has written so far, wherever it goes on writing."""
    return os.pread(report.fileno(), 1 << 16, 0)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End bwrap: it takes the PID namespace, and so every process in the sandbox, with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _killed(status: int) -> bool:
    return status < 0


def _inner_status(report: bytes) -> int | None:
    """Exit code of the command itself, as bwrap reports it; None when it never ran."""
    for line in report.decode("utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            found = json.loads(line)
            if isinstance(found, dict) and "exit-code" in found:
                return int(found["exit-code"])
    return None


def _no_sandbox(tail: Sequence[str]) -> InfrastructureError:
    text = "\n".join(tail)
    if "uid map" in text or "namespace" in text or os.strerror(errno.EPERM) in text:
        return InfrastructureError(
            "bubblewrap cannot make a user namespace on this host; allow it (sysctl "
            "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0, "
            "user.max_user_namespaces above 0) or run as root, and not inside of a chroot. Who trusts the patch "
            f"may build it without a sandbox: {VARIABLE}=off (make: SANDBOX=off)",
            detail=text,
        )
    return InfrastructureError("bubblewrap cannot set up the sandbox", detail=text)
