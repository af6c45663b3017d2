# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs operations on the model, many at a time, and compares what it does with what the reference says.

Commands of qtest are sent without waiting for their answers. An engine works in QEMU's main loop, which reads no
more than :data:`QTEST_READ` bytes of commands in one turn; a longer command lets the turn go by that the engine
needs.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass

from .. import layout, smmu, testdev
from ..qtest import Machine
from .ops import Access, Case, Command, Fill, GiveUp, Kind, Op, Poke, Probe, Resume, StallTerm, StreamTable, Switch
from .parts import DONE, Running
from .reference import Reference
from .spaces import SPAN

QTEST_READ = 1024
PADDING = "0" * (2 * QTEST_READ)
CMDQ_BITS, EVENTQ_BITS = 10, 10
DEVICE_TREE = 0x10_0000
"""Bytes at the start of the RAM that are not 0 when a machine starts."""
CMD_SYNC = 0x46
RECORD = 32
STAG_MASK = 0xFFFF << 64
COMPARED = {
    "STATUS": (0x24, 4),
    "STALLS": (0x28, 4),
    "RETRIES": (0x2C, 4),
    "BYTES_DONE": (0x3C, 4),
    "FAULT_ADDR": (0x40, 8),
}
RECINVSID = 2
CR2 = 0x2C


class Disagreement(Exception):
    """The model did something else than the reference; ``index``: of the operation."""

    def __init__(self, index: int, what: str) -> None:
        super().__init__(what)
        self.index = index
        self.what = what


@dataclass(slots=True)
class Check:
    """What an answer must be."""

    index: int
    position: int
    """Of the answer among those of the batch."""
    check: Callable[[str], str]
    """What is wrong, or nothing."""


def little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def expected_registers(running: Running) -> dict[str, int]:
    """What the engine's registers must say now."""
    values = {
        "STATUS": running.status,
        "STALLS": running.stalls,
        "RETRIES": running.retries,
        "BYTES_DONE": running.done,
        "FAULT_ADDR": running.fault,
    }
    if running.status == DONE and running.op.kind != Kind.WRITE:
        values["DATA"] = running.data
    if running.status == DONE and running.op.kind == Kind.READ:
        values["SUM"] = running.sum
    return values


class Driver:
    """Sends operations, and collects what must come of them."""

    def __init__(self, machine: Machine, case: Case, reference: Reference) -> None:
        self._machine = machine
        self._qtest = machine.qtest
        self._reference = reference
        self._devices = [testdev.TestDevice(machine, slot) for slot in case.slots]
        self._lines: list[str] = []
        self._checks: list[Check] = []
        self._prod = 0
        self._seen = 0
        self._origin: list[int] = []
        """Of each record, the operation."""
        self._stags: dict[int, int] = {}
        self._poked: set[int] = set()
        self._index = 0
        self._told = (0, 0)
        self._does: dict[type, Callable[..., None]] = {
            Poke: self._poke,
            Fill: self._fill,
            Access: self._access,
            Command: self._command,
            Resume: self._resume,
            StallTerm: self._stall_term,
            GiveUp: self._give_up,
            Probe: self._probe,
            Switch: self._switch,
            StreamTable: self._streams,
        }
        self._enable()

    def _enable(self) -> None:
        self._send(f"memset {layout.RAM:#x} {DEVICE_TREE:#x} 0")
        write = self._register
        write(CR2, RECINVSID)
        write(smmu.STRTAB_BASE, layout.STREAM_TABLE, 8)
        write(smmu.STRTAB_BASE_CFG, 8)
        write(smmu.CMDQ_BASE, layout.CMDQ | CMDQ_BITS, 8)
        write(smmu.EVENTQ_BASE, layout.EVENTQ | EVENTQ_BITS, 8)
        write(smmu.CR0, smmu.SMMUEN | smmu.EVENTQEN | smmu.CMDQEN)

    def issue(self, index: int, op: Op, expected: object) -> None:
        """Send an operation; ``expected``: what the reference gave for it."""
        self._index = index
        new = len(self._reference.records) - len(self._origin)
        self._origin.extend([index] * new)
        self._does[type(op)](op, expected)

    @property
    def full(self) -> bool:
        """Whether it is time to flush."""
        return len(self._lines) > 400 or len(self._origin) - self._seen > 400

    # Operations

    def _send(self, line: str, check: Callable[[str], str] | None = None) -> None:
        if check:
            self._checks.append(Check(self._index, len(self._lines), check))
        self._lines.append(line)

    def _register(self, register: int, value: int, size: int = 4) -> None:
        self._send(f"write{'q' if size == 8 else 'l'} {layout.SMMU + register:#x} {value:#x}")

    def _poke(self, op: Poke, expected: object) -> None:
        self._poked.add(op.pa)
        self._send(f"writeq {op.pa:#x} {op.value:#x}")

    def _fill(self, op: Fill, expected: object) -> None:
        self._send(f"memset {op.pa:#x} {op.size:#x} {op.byte:#x}")

    def _access(self, op: Access, expected: Running) -> None:
        base = self._devices[op.device].engines[op.engine].base
        pasid = testdev.NO_PASID if op.ssid is None else op.ssid
        programming = b"".join(
            value.to_bytes(size, "little")
            for value, size in ((op.va, 8), (op.length, 4), (pasid, 4), (op.data, 8))
        )
        self._send(f"write {base + testdev.ADDR:#x} {len(programming):#x} 0x{programming.hex()}")
        self._send(f"writel {base + testdev.CMD:#x} {op.kind:#x}")
        self._engine(base, expected)

    def _engine(self, base: int, running: Running) -> None:
        """After a turn of the main loop, the engine's registers are as the reference has them."""
        values = expected_registers(running)

        def check(answer: str) -> str:
            raw = bytes.fromhex(answer[2:])
            seen = {name: little(raw, at - testdev.DATA, size) for name, (at, size) in COMPARED.items()}
            seen["DATA"], seen["SUM"] = little(raw, 0, 8), little(raw, testdev.SUM - testdev.DATA, 8)
            return "; ".join(
                f"{name} is {seen[name]:#x}, not {value:#x}"
                for name, value in values.items()
                if seen[name] != value
            )

        size = testdev.SUM + 8 - testdev.DATA
        self._send(f"read 0x{PADDING}{base + testdev.DATA:x} {size:#x}", check)

    def _command(self, op: Command, expected: int) -> None:
        at = layout.CMDQ + (self._prod & ((1 << CMDQ_BITS) - 1)) * 16
        self._prod = (self._prod + 1) & ((2 << CMDQ_BITS) - 1)
        self._send(f"writeq {at:#x} {op.low:#x}")
        self._send(f"writeq {at + 8:#x} {op.high:#x}")
        self._register(smmu.CMDQ_PROD, self._prod)
        mask = (2 << CMDQ_BITS) - 1
        consumed = self._prod if not expected else (self._prod - 1) & mask | expected << 24

        def check(answer: str) -> str:
            seen = int(answer, 16) & (-1 if expected else mask)  # 6.3.28: ERR means nothing without an error
            return "" if seen == consumed else f"CMDQ_CONS is {seen:#x}, not {consumed:#x}"

        self._send(f"readl {layout.SMMU + smmu.CMDQ_CONS:#x}", check)
        if expected:
            self._mend(at)

    def _mend(self, at: int) -> None:
        """A CMD_SYNC in place of the command that was refused, and on (7.1)."""
        self.flush()
        self._send(f"writeq {at:#x} {CMD_SYNC:#x}")
        self._send(f"writeq {at + 8:#x} 0")
        self._register(smmu.GERRORN, self._qtest.read32(layout.SMMU + smmu.GERROR))
        self._register(smmu.CMDQ_PROD, self._prod)

    def _resume(self, op: Resume, expected: Running | None) -> None:
        """The answer names the STAG that the record had: :meth:`told`."""
        sid, stag = self._told
        if op.wrong == "sid":
            sid += 1
        elif op.wrong:
            stag = next(n for n in range(0x10000) if n not in self._stags.values())
        self._command(Command(0x44 | op.retry << 12 | op.abort << 13 | sid << 32, stag), 0)
        if expected:
            self._engine(self._base(expected), expected)

    def tell(self, op: Resume) -> bool:
        """Before the reference runs it: look up STAG and StreamID of the stall; False if there is none."""
        stall = self._reference.nth_stall(op.nth)
        if stall is None:
            return False
        assert stall.number is not None
        if stall.number not in self._stags or op.wrong == "stag":
            self.flush()
        self._told = stall.sid, self._stags[stall.number]
        return True

    def _base(self, running: Running) -> int:
        return self._devices[running.op.device].engines[running.op.engine].base

    def _stall_term(self, op: StallTerm, expected: int) -> None:
        self._command(Command(0x45 | op.sid << 32), expected)
        self._all_engines()

    def _give_up(self, op: GiveUp, expected: object) -> None:
        base = self._devices[op.device].engines[op.engine].base
        self._send(f"writel {base + testdev.ABORT:#x} 1")
        self._all_engines()

    def _all_engines(self) -> None:
        for running in self._reference.running.values():
            self._engine(self._base(running), running)

    def _probe(self, op: Probe, expected: tuple[bool, bool, bool, int, int]) -> None:
        bar = self._devices[op.device].bar
        pasid = testdev.NO_PASID if op.ssid is None else op.ssid
        self._send(f"writeq {bar + testdev.PROBE_ADDR:#x} {op.va:#x}")
        self._send(f"writel {bar + testdev.PROBE_PASID:#x} {pasid:#x}")
        cached, read, write, level, granule = expected
        value = cached | read << 1 | write << 2 | level << 8 | granule << 16

        def check(answer: str) -> str:
            seen = int(answer, 16)
            return "" if seen == value else f"PROBE is {seen:#x}, not {value:#x}"

        self._send(f"readl {bar + testdev.PROBE:#x}", check)

    def _switch(self, op: Switch, expected: object) -> None:
        self._register(smmu.GBPA, 1 << 31 | op.gbpa_abort << 20)
        value = smmu.SMMUEN * op.smmuen | smmu.EVENTQEN * op.eventqen | smmu.CMDQEN
        self._register(smmu.CR0, value)
        self._all_engines()

    def _streams(self, op: StreamTable, expected: object) -> None:
        self._register(smmu.STRTAB_BASE, op.base, 8)
        self._register(smmu.STRTAB_BASE_CFG, op.log2size | op.split << 6 | bool(op.split) << 16)

    # Comparison

    def flush(self) -> None:
        """Let everything happen that was sent, and compare."""
        answers = self._qtest.exchange(self._lines)
        checks = self._checks
        self._lines, self._checks = [], []
        for check in checks:
            wrong = check.check(answers[check.position])
            if wrong:
                raise Disagreement(check.index, wrong)
        self._records()

    def _records(self) -> None:
        """The event queue since the last time."""
        mask = (2 << EVENTQ_BITS) - 1
        prod = self._qtest.read32(layout.SMMU + smmu.EVENTQ_PROD)
        count = (prod - self._seen) & mask
        expected = self._reference.records[self._seen :]
        origin = self._origin[self._seen :]
        for n, record in enumerate(expected[:count]):
            slot = (self._seen + n) & (mask >> 1)
            raw = self._qtest.read(layout.EVENTQ + slot * RECORD, RECORD)
            seen = int.from_bytes(raw, "little")
            words = sum(word << 64 * i for i, word in enumerate(record.words()))
            differs = (seen ^ words) & ~(STAG_MASK if record.stall else 0)
            if differs:
                raise Disagreement(origin[n], f"the record is {seen:#066x}, not {words:#066x} ({record})")
            if record.stall:
                self._bind(self._seen + n, seen >> 64 & 0xFFFF, origin[n])
        if count != len(expected):
            at = origin[count] if count < len(origin) else self._index
            raise Disagreement(at, f"{count} records, not {len(expected)}: {expected[count : count + 1]}")
        self._seen += count
        if count:
            self._qtest.write32(layout.SMMU + smmu.EVENTQ_CONS, self._seen & mask)

    def _bind(self, number: int, stag: int, index: int) -> None:
        """A STAG must not be one that is in use (3.12.2)."""
        in_use = {self._stags.get(stall.number) for stall in self._reference.stalls if stall.number is not None}
        if stag in in_use - {self._stags.get(number)}:
            raise Disagreement(index, f"STAG {stag:#x} is in use already")
        self._stags[number] = stag

    def _memory(self) -> None:
        """What devices may have written to, and every descriptor."""
        ram = self._reference.ram
        pieces = [(at, 0x1_0000) for at in range(layout.DATA, layout.DATA + SPAN, 0x1_0000)]
        pieces += [(at, 8) for at in sorted(self._poked)]
        answers = self._qtest.exchange([f"b64read {at:#x} {size:#x}" for at, size in pieces])
        for (at, size), answer in zip(pieces, answers, strict=True):
            seen, expected = b64decode(answer), ram.read(at, size)
            if seen != expected:
                first = next(n for n in range(size) if seen[n] != expected[n])
                raise Disagreement(
                    self._index, f"memory at {at + first:#x} is {seen[first]:#x}, not {expected[first]:#x}"
                )

    def finish(self, index: int) -> None:
        """After the last operation: memory and counters."""
        self._index = index
        self.flush()
        self._memory()
        stats = self._machine.stats()
        expected = dict.fromkeys(stats, 0) | dict(self._reference.stats)
        expected["iotlb-size"] = self._reference.iotlb.size
        expected["iotlb-entries"] = len(self._reference.iotlb.entries)
        expected["stalls-outstanding"] = len(self._reference.stalls)
        expected["iotlb-misses"] += min(
            self._reference.perhaps_misses, max(0, stats["iotlb-misses"] - expected["iotlb-misses"])
        )
        wrong = {name: (stats.get(name), value) for name, value in expected.items() if stats.get(name) != value}
        if wrong:
            raise Disagreement(index, f"counters (model, reference): {wrong}")
