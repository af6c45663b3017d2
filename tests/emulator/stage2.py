# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage-2 tables that map the RAM to itself, in blocks of 2 MiB."""

from __future__ import annotations

from collections.abc import Mapping

from .layout import RAM, STAGE2
from .pagetable import S2_RW, TABLE_OR_PAGE, VALID
from .smmu import Stage2
from .world import PAGE, World

BLOCK = 2 << 20
BLOCKS = 64
LEVEL_2 = STAGE2 + PAGE


def entry(ipa: int) -> int:
    """Address of the descriptor that maps ``ipa``."""
    return LEVEL_2 + (ipa - RAM) // BLOCK * 8


def set_block(world: World, ipa: int, attributes: int | None) -> None:
    """Map the block that holds ``ipa``; None: not at all. No invalidation follows."""
    world.poke(entry(ipa), 0 if attributes is None else ipa & -BLOCK | attributes | VALID)


def identity(world: World, but: Mapping[int, int | None] | None = None, **fields: object) -> Stage2:
    """All of the RAM, with other attributes for the blocks of ``but``; ``fields``: of the STE."""
    world.poke(STAGE2 + (RAM >> 30) * 8, LEVEL_2 | TABLE_OR_PAGE | VALID)
    for n in range(BLOCKS):
        set_block(world, RAM + n * BLOCK, S2_RW)
    for ipa, attributes in (but or {}).items():
        set_block(world, ipa, attributes)
    return Stage2(root=STAGE2, **{"vmid": 7, **fields})  # type: ignore[arg-type]
