# SPDX-License-Identifier: GPL-2.0-or-later
"""Run someone else's build in bubblewrap: no network, nothing of the host but its tools, nothing left running.

A kernel or QEMU build runs Makefiles, Kconfig shell macros and host programs that a patch may have changed.
They see a read-only ``/usr``, the folders that are named, a ``/tmp`` of their own, and no other process of
the host.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.errors import FaultloopError, InfrastructureError

OnOutput = Callable[[str], None]

_TAIL_LINES = 200
_FILE_LIMIT = 16 << 30
"""Largest file a build may write, bytes."""
_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


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

    def __init__(self, *, tmp_mib: int = 2048) -> None:
        self._tmp_bytes = tmp_mib << 20

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
    ) -> None:
        """Run ``argv`` to its end; every line it prints goes to ``on_output`` and, appended, to ``log``.

        ``timeout`` is in seconds of wall time. On expiry, and on any exception while it runs (Ctrl-C), everything
        in the sandbox is killed before this returns. Raises CommandFailed for a status other than 0, and
        InfrastructureError when the sandbox itself cannot be set up or the time is over.
        """
        status_read, status_write = os.pipe()
        with os.fdopen(status_read, "rb") as status_file:
            try:
                command = self._command(argv, binds, env or {}, cwd, status_write)
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    pass_fds=(status_write,),
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise InfrastructureError(f"{error.filename}: not found; install util-linux") from error
            finally:
                os.close(status_write)
            with _killed_at_the_end(process, timeout) as expired, contextlib.ExitStack() as stack:
                sink = stack.enter_context(log.open("ab")) if log else None
                tail = _stream(process, sink, on_output)
                status = process.wait()
            if expired.is_set():
                raise InfrastructureError(
                    f"{' '.join(argv[:6])}: not done after {timeout:g} s, stopped", detail="\n".join(tail)
                )
            if status == 0:
                return
            if _inner_status(status_file.read()) is None and not _killed(status):
                raise _no_sandbox(tail)
            raise CommandFailed(argv, status, tail)

    def _command(
        self, argv: Sequence[str], binds: Sequence[Bind], env: Mapping[str, str], cwd: str, status_fd: int
    ) -> list[str]:
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise InfrastructureError("bwrap: not found; builds run in bubblewrap: install the package bubblewrap")
        command = ["prlimit", "--core=0:0", f"--fsize={_FILE_LIMIT}:{_FILE_LIMIT}", "--", bwrap]
        command += ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
        command += ["--json-status-fd", str(status_fd), "--hostname", "faultloop"]
        command += ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            folder = Path("/", name)
            if folder.is_symlink():
                command += ["--symlink", str(folder.readlink()), str(folder)]
            elif folder.is_dir():
                command += ["--ro-bind", str(folder), str(folder)]
        for etc in ("/etc/alternatives", "/etc/ld.so.cache"):
            command += ["--ro-bind-try", etc, etc]
        command += ["--proc", "/proc", "--dev", "/dev", "--size", str(self._tmp_bytes), "--tmpfs", "/tmp"]
        for bind in binds:
            command += ["--bind" if bind.writable else "--ro-bind", str(bind.source), bind.target]
        for key, value in {"PATH": _PATH, "HOME": "/tmp", "LC_ALL": "C", "TZ": "UTC", **env}.items():
            command += ["--setenv", key, value]
        return [*command, "--chdir", cwd, "--", *argv]


def _stream(process: subprocess.Popen[bytes], sink: BinaryIO | None, on_output: OnOutput | None) -> list[str]:
    """Pass each line on as it comes; the last lines are returned."""
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    for raw in process.stdout:
        if sink is not None:
            sink.write(raw)
        line = raw.decode("utf-8", errors="replace").rstrip("\n")
        tail.append(line)
        if on_output is not None:
            on_output(line)
    return list(tail)


@contextlib.contextmanager
def _killed_at_the_end(process: subprocess.Popen[bytes], timeout: float | None) -> Iterator[threading.Event]:
    """Whatever happens, the process and all it started are gone afterwards; the event says that time ran out."""
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        _kill(process)

    timer = threading.Timer(timeout, stop) if timeout is not None else None
    try:
        if timer is not None:
            timer.daemon = True
            timer.start()
        yield expired
    finally:
        if timer is not None:
            timer.cancel()
        if process.poll() is None:
            _kill(process)
            process.wait()
        if process.stdout is not None:
            # The pipe ends when the last process of the sandbox is gone.
            while process.stdout.read(1 << 16):
                pass
            process.stdout.close()


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
            "user.max_user_namespaces above 0) or run as root, and not inside of a chroot",
            detail=text,
        )
    return InfrastructureError("bubblewrap cannot set up the sandbox", detail=text)
