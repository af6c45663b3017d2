# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU under the qtest accelerator: no guest runs, the test is the CPU.

QEMU's main loop keeps running between two commands, so what a command starts has to be waited for, by its effect:
:meth:`Machine.until`. The virtual clock stands still until :meth:`QTest.clock_step`.
"""

from __future__ import annotations

import select
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from qemu.qmp.error import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

Options = Mapping[str, str | int | bool]

ANSWER_SECONDS = 60
"""No answer of QEMU takes as long: it hangs."""
POLL_SECONDS = 0.2
POLLS = 2_000
"""No effect takes as many commands to show."""


class QemuDied(AssertionError):
    """QEMU ended, or closed its socket. The message holds what it printed."""


class QTest:
    """The qtest protocol (QEMU: system/qtest.c): one command a line, one answer."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(ANSWER_SECONDS)
        self._connection = connection
        self._stream = connection.makefile("rw", encoding="ascii")

    def command(self, line: str) -> list[str]:
        """Send a command; its answer's words, less the ``OK``."""
        self._stream.write(line + "\n")
        self._stream.flush()
        while True:
            answer = self._stream.readline().split()
            if not answer:
                raise QemuDied(f"no answer to: {line}")
            if answer[0] == "IRQ":
                continue
            assert answer[0] == "OK", f"{line}: {' '.join(answer)}"
            return answer[1:]

    def exchange(self, lines: Sequence[str]) -> list[str]:
        """Send many commands, and read their answers while they are sent; the answers, less the ``OK``."""
        unsent = memoryview("".join(line + "\n" for line in lines).encode("ascii"))
        answers = bytearray()
        count = 0
        while count < len(lines):
            readable, writable, _ = select.select(
                [self._connection], [self._connection] if unsent else [], [], ANSWER_SECONDS
            )
            if not readable and not writable:
                raise QemuDied(f"no answer to one of {len(lines)} commands for {ANSWER_SECONDS} s")
            if writable:
                unsent = unsent[self._connection.send(unsent) :]
            if readable:
                piece = self._connection.recv(1 << 16)
                if not piece:
                    raise QemuDied("QEMU closed its socket")
                count += piece.count(b"\n")
                answers += piece
        words = answers.decode("ascii").splitlines()
        refused = next((n for n, word in enumerate(words) if not word.startswith("OK")), None)
        assert refused is None, f"{lines[refused]}: {words[refused]}"
        return [word[3:] for word in words]

    def read32(self, addr: int) -> int:
        return int(self.command(f"readl {addr:#x}")[0], 16)

    def read64(self, addr: int) -> int:
        return int(self.command(f"readq {addr:#x}")[0], 16)

    def write16(self, addr: int, value: int) -> None:
        self.command(f"writew {addr:#x} {value:#x}")

    def write32(self, addr: int, value: int) -> None:
        self.command(f"writel {addr:#x} {value:#x}")

    def write64(self, addr: int, value: int) -> None:
        self.command(f"writeq {addr:#x} {value:#x}")

    def read(self, addr: int, size: int) -> bytes:
        return bytes.fromhex(self.command(f"read {addr:#x} {size:#x}")[0].removeprefix("0x"))

    def write(self, addr: int, data: bytes) -> None:
        self.command(f"write {addr:#x} {len(data):#x} 0x{data.hex()}")

    def clock_step(self, ns: int) -> None:
        self.command(f"clock_step {ns}")

    def close(self) -> None:
        self._stream.close()


def as_argument(options: Options) -> str:
    """``{"stall": True}`` as ``stall=on``."""

    def text(value: str | int | bool) -> str:
        return ("on" if value else "off") if isinstance(value, bool) else str(value)

    return ",".join(f"{name}={text(value)}" for name, value in options.items())


def command_line(
    qemu: Path,
    *,
    machine: str = "virt",
    smmu: Options | None = None,
    devices: Sequence[Options] = (),
    cpu: str = "cortex-a57",
    kernel: Path | None = None,
    incoming: bool = False,
) -> list[str]:
    """The machine under test.

    ``smmu`` None: without SMMU; ``devices``: properties of each sva-testdev; ``kernel``: run by a real ``cpu``.
    ``incoming``: wait for QMP's "migrate-incoming".
    """
    iommu = "none" if smmu is None else "smmuv3"
    argv = [
        str(qemu),
        "-machine",
        f"{machine},iommu={iommu},gic-version=3",
        "-accel",
        "tcg" if kernel else "qtest",
    ]
    argv += ["-cpu", cpu, "-m", "128", "-nodefaults", "-display", "none", "-sandbox", "on"]
    if kernel:
        argv += ["-kernel", str(kernel)]
    if incoming:
        argv += ["-incoming", "defer"]
    for name, value in (smmu or {}).items():
        argv += ["-global", "arm-smmuv3." + as_argument({name: value})]
    for device in devices:
        argv += ["-device", "sva-testdev," + as_argument(device)]
    return argv


def refusal(argv: Sequence[str]) -> str:
    """What QEMU prints when it does not start, which it must not."""
    done = subprocess.run(
        [*argv, "-S", "-monitor", "none"], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
    )
    assert done.returncode == 1, f"status {done.returncode}, not 1: {done.stderr}"
    return done.stderr


class Machine:
    """A QEMU process, its qtest and QMP connections. A context manager: the process ends with the block."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)

    def __enter__(self) -> Machine:
        # Not faultloop-*: those belong to who has locked them, or else to the next sweep.
        self._folder = tempfile.TemporaryDirectory(prefix="qtest-")
        folder = Path(self._folder.name)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "qtest"))
        listener.listen(1)
        self._output = (folder / "output").open("w+b")
        self._qmp = QEMUMonitorProtocol(str(folder / "qmp"), server=True)
        self._process = subprocess.Popen(
            [
                *self._argv,
                "-qtest",
                f"unix:{folder}/qtest",
                "-qtest-log",
                "/dev/null",
                "-qmp",
                f"unix:{folder}/qmp",
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            self.qtest = QTest(self._connection(listener))
            self._qmp.accept(ANSWER_SECONDS)
        except (TimeoutError, QMPError) as error:
            raise QemuDied(f"QEMU does not start: {' '.join(self._argv)}: {self._stop()}") from error
        except BaseException:
            self._stop()
            raise
        finally:
            listener.close()
        return self

    def _connection(self, listener: socket.socket) -> socket.socket:
        """QEMU's connection, or its end."""
        listener.settimeout(POLL_SECONDS)
        for _ in range(round(ANSWER_SECONDS / POLL_SECONDS)):
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self._process.poll() is not None:
                    break
        raise TimeoutError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        died = self._process.poll() is not None
        printed = self._stop()
        if died or self._process.returncode:
            raise QemuDied(f"QEMU ended with status {self._process.returncode}: {printed}") from error

    def _stop(self) -> str:
        """End QEMU, softly if it listens; what it printed."""
        if self._process.poll() is None:
            self._qmp.close()
            self._process.terminate()
            try:
                self._process.wait(ANSWER_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if hasattr(self, "qtest"):
            self.qtest.close()
        self._output.seek(0)
        printed = self._output.read().decode(errors="replace")
        self._output.close()
        self._folder.cleanup()
        return printed

    def qmp(self, command: str, **arguments: object) -> Any:
        """The command's return value. ExecuteError (qemu.qmp) if QEMU refuses it."""
        return self._qmp.cmd(command, **arguments)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Data of the QMP events of this name since the last call, of any name."""
        self.qmp("query-status")  # what was sent before its answer has arrived with it
        return [dict(event["data"]) for event in self._qmp.get_events() if event["event"] == name]

    def stats(self) -> dict[str, int]:
        """All counters of the SMMU."""
        counters: dict[str, int] = self.qmp("qom-get", path="/machine/smmuv3", property="stats")
        return counters

    def cpu_seconds(self) -> float:
        """Processor time that QEMU has had."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Let QEMU's main loop run until ``condition``."""
        for _ in range(POLLS):
            if condition():
                return
        raise AssertionError(f"never happened: {what}")
