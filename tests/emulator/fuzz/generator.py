# SPDX-License-Identifier: GPL-2.0-or-later
"""Random input: a case of the comparison with the reference, broken in many places, and registers at random.

What a case does is a list of qtest's commands, so that any part of it can be run again as it is.
"""

from __future__ import annotations

from random import Random

from .. import layout, smmu, testdev
from ..differential.generator import Generator
from ..differential.ops import (
    Access,
    Command,
    Fill,
    GiveUp,
    Op,
    Poke,
    Probe,
    Resume,
    StallTerm,
    StreamTable,
    Switch,
)
from ..qtest import Options

OPS = 1500
SMMU_SIZE = 0x2_0000
QUEUE_BITS = 8
RAM_OF_INTEREST = (
    layout.STREAM_TABLE,
    layout.CMDQ,
    layout.EVENTQ,
    layout.CD_TABLE,
    layout.TABLES,
    layout.DATA,
)
SMMU_REGISTERS = (
    *(
        smmu.CR0,
        0x28,
        0x2C,
        smmu.GBPA,
        0x50,
        0x54,
        smmu.GERRORN,
        0x68,
        0x70,
        smmu.STRTAB_BASE,
        smmu.STRTAB_BASE_CFG,
    ),
    *(smmu.CMDQ_BASE, smmu.CMDQ_PROD, smmu.CMDQ_CONS, smmu.EVENTQ_BASE, 0xA8, 0xAC, 0xB0, 0xBC, 0xC0, 0xC8, 0xCC),
    *(smmu.EVENTQ_PROD, smmu.EVENTQ_CONS),
)
INTERESTING = (
    0,
    1,
    7,
    8,
    0xFFF,
    0x1000,
    1 << 31,
    (1 << 32) - 1,
    1 << 44,
    1 << 63,
    (1 << 64) - 1,
    layout.RAM,
    layout.DATA,
)
WIDTHS = {1: "b", 2: "w", 4: "l", 8: "q"}


class Fuzzer:
    """The lines of one seed, and the machine they are for."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(~seed)
        base = Generator(seed, OPS)
        self.case = base.case()
        self.smmu: Options = {**self.case.smmu}
        self.devices: list[Options] = [{"addr": f"{slot:x}.0", "engines": 8} for slot in self.case.slots]
        self._prod = 0

    def lines(self) -> list[str]:
        found = self.enable()
        for op in self.case.ops:
            found += [self.broken(line) for line in self.translate(op)]
            while self.rng.random() < 0.15:
                found.append(self.stray())
        return found

    def enable(self) -> list[str]:
        """Devices and SMMU on."""
        found = []
        for slot in self.case.slots:
            config, bar = self.config(slot), self.bar(slot)
            found += [
                f"writel {config + testdev.BAR0:#x} {bar:#x}",
                f"writel {config + testdev.BAR2:#x} {bar + testdev.BAR_SIZE:#x}",
                f"writew {config + testdev.PCI_COMMAND:#x} {testdev.PCI_MEMORY | testdev.PCI_MASTER:#x}",
                f"writew {config + testdev.PASID_CONTROL:#x} 0x1",
            ]
        for register, value, width in (
            (smmu.STRTAB_BASE, layout.STREAM_TABLE, 8),
            (smmu.STRTAB_BASE_CFG, 8, 4),
            (smmu.CMDQ_BASE, layout.CMDQ | QUEUE_BITS, 8),
            (smmu.EVENTQ_BASE, layout.EVENTQ | QUEUE_BITS, 8),
            (smmu.CR0, smmu.SMMUEN | smmu.EVENTQEN | smmu.CMDQEN, 4),
        ):
            found.append(f"write{WIDTHS[width]} {layout.SMMU + register:#x} {value:#x}")
        return found

    @staticmethod
    def config(slot: int) -> int:
        return layout.ECAM + (slot << 15)

    @staticmethod
    def bar(slot: int) -> int:
        return layout.MMIO32 + slot * 0x10_0000

    def engine(self, device: int, number: int) -> int:
        return self.bar(self.case.slots[device]) + 0x1000 + number * 0x100

    # What the case does

    def translate(self, op: Op) -> list[str]:
        match op:
            case Poke(pa, value):
                return [f"writeq {pa:#x} {value:#x}"]
            case Fill(pa, size, byte):
                return [f"memset {pa:#x} {size:#x} {byte:#x}"]
            case Command(low, high):
                return self.command(low, high)
            case StallTerm(sid):
                return self.command(0x45 | sid << 32, 0)
            case Resume(nth, retry, abort):
                sid = 8 * self.rng.choice(self.case.slots)
                return self.command(
                    0x44 | retry << 12 | abort << 13 | sid << 32, self.rng.choice((nth, nth + 8, 99))
                )
            case Access():
                return self.access(op)
            case GiveUp(device, engine):
                return [f"writel {self.engine(device, engine) + testdev.ABORT:#x} 0x1"]
            case Probe(device, va, ssid):
                bar = self.bar(self.case.slots[device])
                return [
                    f"writeq {bar + testdev.PROBE_ADDR:#x} {va & (1 << 64) - 1:#x}",
                    f"writel {bar + testdev.PROBE_PASID:#x} {testdev.NO_PASID if ssid is None else ssid:#x}",
                    f"readl {bar + testdev.PROBE:#x}",
                ]
            case Switch(smmuen, eventqen, gbpa_abort):
                value = smmuen * smmu.SMMUEN | eventqen * smmu.EVENTQEN | smmu.CMDQEN
                return [
                    f"writel {layout.SMMU + smmu.GBPA:#x} {1 << 31 | gbpa_abort << 20:#x}",
                    f"writel {layout.SMMU + smmu.CR0:#x} {value:#x}",
                ]
            case StreamTable(base, log2size, split):
                form = log2size | split << 6 | bool(split) << 16
                return [
                    f"writeq {layout.SMMU + smmu.STRTAB_BASE:#x} {base:#x}",
                    f"writel {layout.SMMU + smmu.STRTAB_BASE_CFG:#x} {form:#x}",
                ]

    def command(self, low: int, high: int) -> list[str]:
        at = layout.CMDQ + (self._prod & ((1 << QUEUE_BITS) - 1)) * 16
        self._prod = (self._prod + 1) & ((2 << QUEUE_BITS) - 1)
        return [
            f"writeq {at:#x} {low:#x}",
            f"writeq {at + 8:#x} {high:#x}",
            f"writel {layout.SMMU + smmu.CMDQ_PROD:#x} {self._prod:#x}",
        ]

    def access(self, op: Access) -> list[str]:
        base = self.engine(op.device, op.engine)
        pasid = testdev.NO_PASID if op.ssid is None else op.ssid
        return [
            f"writeq {base + testdev.ADDR:#x} {op.va:#x}",
            f"writeq {base + testdev.LEN:#x} {op.length | pasid << 32:#x}",
            f"writeq {base + testdev.DATA:#x} {op.data:#x}",
            f"writel {base + testdev.CMD:#x} {op.kind:#x}",
        ]

    # What breaks it

    def value(self, width: int = 8) -> int:
        rng = self.rng
        value = rng.choice(INTERESTING) + rng.randrange(-2, 3) if rng.random() < 0.5 else rng.getrandbits(64)
        return value & (1 << 8 * width) - 1

    def broken(self, line: str) -> str:
        """Now and then a line with another value in it."""
        words = line.split()
        if self.rng.random() > 0.03 or not words[0].startswith("write"):
            return line
        width = {"b": 1, "w": 2, "l": 4, "q": 8}[words[0][-1]]
        value = int(words[2], 16)
        for _ in range(self.rng.choice((1, 1, 2, 5))):
            value ^= 1 << self.rng.randrange(8 * width)
        return f"{words[0]} {words[1]} {value if self.rng.random() < 0.7 else self.value(width):#x}"

    def stray(self) -> str:
        """A read or write of a register or of memory, of any width."""
        rng = self.rng
        width = rng.choice((1, 2, 4, 4, 4, 8, 8))
        slot = rng.choice(self.case.slots)
        where = rng.random()
        if where < 0.3:
            register = rng.choice(SMMU_REGISTERS) if rng.random() < 0.8 else rng.randrange(SMMU_SIZE)
            addr = layout.SMMU + register
        elif where < 0.65:
            addr = self.bar(slot) + rng.choice(
                (rng.randrange(0x100), 0x1000 + rng.randrange(0x900), rng.randrange(0x2_0000))
            )
        elif where < 0.75:
            addr = self.config(slot) + rng.choice((0x10, 0x18, 0x40, 0x80, 0x104, 0x106, rng.randrange(4096)))
        else:
            addr = rng.choice(RAM_OF_INTEREST) + 8 * rng.randrange(512)
        addr &= -width
        if rng.random() < 0.2:
            return f"read{WIDTHS[width]} {addr:#x}"
        if rng.random() < 0.02:
            return f"clock_step {rng.choice((1, 1000, 1_000_000))}"
        return f"write{WIDTHS[width]} {addr:#x} {self.value(width):#x}"
