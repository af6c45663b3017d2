# SPDX-License-Identifier: GPL-2.0-or-later
"""Where things are: the "virt" machine's fixed addresses, and what the tests put into its RAM."""

from __future__ import annotations

SMMU = 0x0905_0000
ECAM = 0x40_1000_0000
MMIO32 = 0x1000_0000
"""Window for the BARs."""
RAM = 0x4000_0000
RAM_END = RAM + (128 << 20)
UNMAPPED = 0x03_0000_0000
"""A physical address with nothing behind it: accesses abort."""

STREAM_TABLE = RAM + 0x10_0000
CMDQ = RAM + 0x11_0000
EVENTQ = RAM + 0x12_0000
MSI = RAM + 0x13_0000
"""Where MSI-X messages land: plain memory."""
CD_TABLE = RAM + 0x20_0000
STAGE2 = RAM + 0x80_0000
TABLES = RAM + 0x100_0000
"""Translation tables are allocated from here on."""
DATA = RAM + 0x400_0000
"""What the device accesses; aligned to 64 MiB."""
