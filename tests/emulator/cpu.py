# SPDX-License-Identifier: GPL-2.0-or-later
"""A CPU that really runs (TCG), and executes what the test puts before it: for what only a CPU can cause.

QEMU's raw "-kernel" is a loop of a few instructions that waits at :data:`MAILBOX`, runs the words at :data:`SLOT`,
and says so. Everything else is driven over qtest, as without a CPU.
"""

from __future__ import annotations

import struct
from pathlib import Path

from .layout import RAM
from .qtest import Machine

KERNEL = RAM + 0x8_0000
"""Where QEMU's boot code for arm64 puts a raw image, and jumps to."""
MAILBOX = RAM + 0x14_0000
"""Go, then the operands x2 and x3."""
SLOT_WORDS = 8
SLOT = KERNEL + 5 * 4
NOP = 0xD503_201F

LOOP = [
    0xD2A8_0280,  # movz x0, #0x4014, lsl #16
    0xF940_0001,  # ldr x1, [x0]
    0xB4FF_FFE1,  # cbz x1, -4
    0xF940_0402,  # ldr x2, [x0, #8]
    0xF940_0803,  # ldr x3, [x0, #16]
    *[NOP] * SLOT_WORDS,
    0xD503_3F9F,  # dsb sy
    0xD503_3FDF,  # isb
    0xF900_001F,  # str xzr, [x0]
    0x17FF_FFF1,  # b to the first load
]


def tlbi(op1: int, crm: int, op2: int, crn: int = 8, register: int = 2) -> int:
    """TLBI with x2 as its operand (Arm ARM C5.5)."""
    return 0xD508_0000 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | register


MSR_VTTBR_X3 = 0xD51C_2103
"""msr vttbr_el2, x3"""


def kernel(folder: Path) -> Path:
    """The loop, as a file for "-kernel"."""
    path = folder / "loop.bin"
    path.write_bytes(struct.pack(f"<{len(LOOP)}I", *LOOP))
    return path


class Cpu:
    """The machine's CPU 0."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def run(self, *words: int, x2: int = 0, x3: int = 0) -> None:
        """Have it execute ``words``, and a DSB."""
        self.start(*words, x2=x2, x3=x3)
        self._machine.until("the CPU to be done", lambda: self.idle)

    @property
    def idle(self) -> bool:
        return self._machine.qtest.read64(MAILBOX) == 0

    def start(self, *words: int, x2: int = 0, x3: int = 0) -> None:
        """Have it begin to."""
        assert len(words) <= SLOT_WORDS
        qtest = self._machine.qtest
        padded = [*words, *[NOP] * (SLOT_WORDS - len(words))]
        qtest.write(SLOT, struct.pack(f"<{SLOT_WORDS}I", *padded))
        qtest.write64(MAILBOX + 8, x2)
        qtest.write64(MAILBOX + 16, x3)
        qtest.write64(MAILBOX, 1)
