# SPDX-License-Identifier: GPL-2.0-or-later
"""Random cases. A seed gives one case, whatever happens when it runs."""

from __future__ import annotations

from random import Random

from .. import layout
from .nested import VMID, Tables
from .ops import (
    Access,
    Case,
    Command,
    Fill,
    GiveUp,
    Kind,
    Op,
    Poke,
    Probe,
    Resume,
    StallTerm,
    StreamTable,
    Switch,
)
from .spaces import SPAN, Allocator, Slot, Space
from .walk import LAST_LEVEL

OPS = 4000
"""Of a case, besides those that set it up."""
ENGINES = 8
TG0 = {12: 0, 16: 1, 14: 2}
TG1 = {14: 1, 12: 2, 16: 3}
RANGE_TG = {12: 1, 14: 2, 16: 3}
S1, S2, NESTED = 5, 6, 7
TLBI_WHOLE = (0x10, 0x11, 0x28, 0x30)
ON = Switch(smmuen=True, eventqen=True, gbpa_abort=False)


def chance(rng: Random, probability: float) -> bool:
    return rng.random() < probability


class Generator:
    """Makes one case."""

    def __init__(self, seed: int, count: int = OPS) -> None:
        self.rng = rng = Random(seed)
        self.seed = seed
        self.count = count
        self.smmu: dict[str, int | bool | str] = {
            "ssidsize": rng.choice((0, 5, 8, 16, 16, 16, 20)),
            "stall": rng.choice((False, False, False, True, True, True, True, True, True, "force")),
            "oas": rng.choice((44, 44, 36, 40, 42, 48, 52, 52)),
            "httu": rng.choice(("none", "none", "access", "dirty", "dirty")),
            "iotlb-size": rng.choice((0, 1, 2, 8, 32, 256, 4096, 4096, 4096)),
        }
        if self.smmu["iotlb-size"] and chance(rng, 0.3):
            self.smmu["contiguous"] = True
        if self.smmu["iotlb-size"] and chance(rng, 0.2):
            self.smmu["cache-faults"] = True
        self.stage2 = Tables(rng) if int(self.smmu["oas"]) >= 40 and chance(rng, 0.3) else None
        if self.stage2:
            self.smmu["httu"] = "none"
            self.smmu.pop("contiguous", None)
            self.smmu.pop("cache-faults", None)
        self.slots = tuple(rng.sample((2, 3, 4, 9, 17), rng.choice((1, 2, 2, 3))))
        allocator = Allocator()
        self.spaces = [
            (Space(rng, allocator, False), Space(rng, allocator, True)) for _ in range(rng.choice((2, 3, 4)))
        ]
        self.asids = [rng.choice((n + 1, 0x100 * n + 7, 0xFFFF - n)) for n in range(len(self.spaces))]
        self.updates = [
            rng.choice((0, 1, 3, 3, 3)) << 42 if self.smmu["httu"] != "none" else 0 for _ in self.spaces
        ]
        """CD.HD, CD.HA of each address space."""
        self.fmt = rng.choice((0, 0, 1, 2, 3))
        self.split = rng.choice((0, 0, 6, 8))
        self.cdmax = min(int(self.smmu["ssidsize"]), rng.choice((3, 6, 6)) if self.fmt in (0, 3) else 12)
        self.ssids = [n for n in (0, 1, 2, 5, 70, 1500) if not n >> self.cdmax]
        self.leaves: dict[int, int] = {}
        self.table_of: dict[int, int] = {}
        """Which address space a CD was given last."""
        self.addressed: list[tuple[Space, Slot, int]] = [
            (half, slot, asid)
            for pair, asid in zip(self.spaces, self.asids, strict=True)
            for half in pair
            for slot in half.slots
        ]

    def case(self) -> Case:
        ops = self.setup()
        while len(ops) < self.count:
            ops += self.step()
        return Case(self.seed, self.smmu, self.slots, ENGINES, tuple(ops))

    # Structures

    def setup(self) -> list[Op]:
        ops: list[Op] = [
            Fill(layout.DATA + at, 4096, self.rng.randrange(1, 256))
            for at in sorted({n << 12 for n in range(16)} | {n << 16 for n in range(SPAN >> 16)})
        ]
        for pair in self.spaces:
            for half in pair:
                ops += half.setup()
        if self.stage2:
            ops += self.stage2.setup()
        if self.split:
            ops += self.two_level_streams()
        if self.fmt in (1, 2) and self.cdmax:
            bits = {1: 6, 2: 10}[self.fmt]
            for upper in sorted({ssid >> bits for ssid in self.ssids}):
                leaf = layout.CD_TABLE + 0x10_0000 + len(self.leaves) * 0x1_0000
                self.leaves[upper] = leaf
                ops.append(Poke(layout.CD_TABLE + 8 * upper, leaf | (not chance(self.rng, 0.03))))
        for ssid in self.ssids:
            ops += self.write_cd(ssid)
        for slot in self.slots:
            ops += self.write_ste(8 * slot, sane=True)
        return ops

    def two_level_streams(self) -> list[Op]:
        base = layout.STREAM_TABLE + 0x8000
        ops: list[Op] = []
        for upper in range(256 >> self.split):
            table = layout.STREAM_TABLE + ((upper << self.split) * 64)
            span = self.split + 1
            if chance(self.rng, 0.15):
                inside = [
                    8 * slot & (1 << self.split) - 1 for slot in self.slots if 8 * slot >> self.split == upper
                ]
                needed = max(inside, default=0).bit_length() + 1
                span = self.rng.choice((0, needed - 1, needed, needed))
            ops.append(Poke(base + 8 * upper, table | span))
        off = Switch(smmuen=False, eventqen=True, gbpa_abort=False)
        return [*ops, off, StreamTable(base, 8, self.split), ON]

    def ste_at(self, sid: int) -> int:
        return layout.STREAM_TABLE + 64 * sid

    def write_ste(self, sid: int, *, sane: bool = False) -> list[Op]:
        rng = self.rng
        config, cdmax, dss, s1stalld, valid, pointer = S1, self.cdmax, 2, False, True, layout.CD_TABLE
        if not sane:
            config = rng.choice((S1, S1, S1, S1, 4, 0))
            cdmax = rng.choice((self.cdmax, self.cdmax, max(0, self.cdmax - 1), 0, int(self.smmu["ssidsize"]) + 1))
            valid = not chance(rng, 0.05)
            s1stalld = chance(rng, 0.1)
            pointer = layout.UNMAPPED if chance(rng, 0.03) else pointer
        dss = rng.choice((0, 1, 2, 2, 2, 3))
        at = self.ste_at(sid)
        upper = [0, 0]
        if self.stage2 and config in (S1, 4):
            config = rng.choice((config, NESTED, NESTED, S2 if chance(rng, 0.2) else NESTED))
            upper = list(self.stage2.words()) if config != S1 else upper
        words = [valid | config << 1 | self.fmt << 4 | pointer | (cdmax & 31) << 59, dss | s1stalld << 27, *upper]
        return [Poke(at + 8 * n, word) for n, word in enumerate(words)]

    def cd_at(self, ssid: int) -> int:
        if self.fmt in (1, 2) and self.cdmax:
            bits = {1: 6, 2: 10}[self.fmt]
            return self.leaves[ssid >> bits] + 64 * (ssid & (1 << bits) - 1)
        return layout.CD_TABLE + 64 * ssid

    def write_cd(self, ssid: int) -> list[Op]:
        rng = self.rng
        index = rng.randrange(len(self.spaces))
        self.table_of[ssid] = index
        lower, upper = (space.half for space in self.spaces[index])
        asid = self.asids[index]
        if (
            chance(rng, 0.03)
            and not any(space.off for pair in self.spaces for space in pair)
            and not any(self.updates)
        ):
            asid = rng.choice(self.asids)
        stall = chance(rng, {True: 0.7, False: 0.03, "force": 0.97}[self.smmu["stall"]])
        first = 64 - lower.bits | TG0[lower.granule] << 6 | 64 - upper.bits << 16 | TG1[upper.granule] << 22
        first |= rng.choice((5, 5, 5, 4, 2, 1, 6, 6, 7)) << 32
        first |= self.updates[index] & (1 << 43 if self.smmu["httu"] == "access" else -1)
        for bit, probability in (
            (15, 0.01),  # ENDI
            (31, 0.98),  # V
            (35, 0 if self.updates[index] else 0.1),  # AFFD
            (38, 0.2),  # TBI0
            (39, 0.2),  # TBI1
            (36, 0.1),  # WXN
            (37, 0.1),  # UWXN
            (40, 0.1),  # PAN
            (41, 0.99),  # AA64
            (42, 0 if self.updates[index] else 0.01),  # HD
            (43, 0 if self.updates[index] else 0.01),  # HA
            (45, 0.8),  # R
            (46, 0.98),  # A
            (47, 0.5),  # ASET
        ):
            first |= chance(rng, probability) << bit
        lower_off, upper_off = (space.off ^ chance(rng, 0.001) for space in self.spaces[index])
        words = [first | lower_off << 14 | upper_off << 30 | stall << 44 | asid << 48]
        for half in (lower, upper):
            beyond = rng.choice((1 << 45, 1 << 47, 1 << 49)) if chance(rng, 0.01) else 0
            words.append(half.ttb | beyond | chance(rng, 0.1) << 1)
        at = self.cd_at(ssid)
        return [Poke(at + 8 * n, word) for n, word in enumerate(words)]

    # Steps

    def step(self) -> list[Op]:
        rng = self.rng
        draw = rng.random()
        if draw < 0.62:
            return [self.access()]
        if draw < 0.72:
            return self.remap()
        if draw < 0.80:
            return [self.tlbi()]
        if draw < 0.90:
            return [self.resume() if self.smmu["stall"] and chance(rng, 0.8) else self.probe()]
        if draw < 0.93:
            return [self.probe()]
        if draw < 0.95:
            return self.reconfigure()
        if draw < 0.965:
            return [self.cfgi()]
        if draw < 0.98:
            return [
                Poke(layout.DATA + rng.choice((0, 0x1000, 0x1_0000)) + 8 * rng.randrange(4), rng.getrandbits(64))
            ]
        return self.rare()

    def rare(self) -> list[Op]:
        rng = self.rng
        draw = rng.random()
        if draw < 0.25:
            return [StallTerm(8 * rng.choice((*self.slots, 30)))]
        if draw < 0.5:
            return [GiveUp(rng.randrange(len(self.slots)), rng.randrange(ENGINES))]
        if draw < 0.6:
            return [Command(rng.choice((0x00, 0x08, 0x18, 0x20, 0x22, 0x2F, 0x40, 0x41, 0x47, 0xFF)))]
        if draw < 0.75:
            off = Switch(smmuen=False, eventqen=True, gbpa_abort=chance(rng, 0.5))
            return [off, *(self.access() for _ in range(3)), ON]
        if draw < 0.9:
            off = Switch(smmuen=True, eventqen=False, gbpa_abort=False)
            return [off, self.access(), ON]
        return [Command(0x46)]

    def ssid(self) -> int | None:
        rng = self.rng
        if chance(rng, 0.2):
            return None
        if chance(rng, 0.03):
            return rng.choice((3, 1 << self.cdmax, (1 << self.cdmax) - 1, 0xFFFF))
        return rng.choice(self.ssids)

    def address(self, ssid: int | None) -> int:
        """Mostly one that the substream's tables map."""
        rng = self.rng
        index = self.table_of.get(ssid or 0, 0)
        half = self.spaces[index][chance(rng, 0.3)]
        slot = rng.choice(half.slots)
        va = slot.va
        if chance(rng, 0.02):
            va ^= 1 << rng.randrange(24, 64)
        if chance(rng, 0.05):
            va ^= rng.getrandbits(8) << 56
        return va

    def access(self) -> Access:
        rng = self.rng
        ssid = self.ssid()
        va = self.address(ssid)
        kind = rng.choice((Kind.READ, Kind.READ, Kind.WRITE, Kind.WRITE, Kind.FETCH_ADD))
        length = 8
        if kind == Kind.FETCH_ADD:
            va += 8 * rng.randrange(512)
        elif chance(rng, 0.2):
            va += rng.randrange(4096)
            length = rng.choice((1, 7, 64, 4096, 8192, 12000))
        else:
            va += 8 * rng.randrange(8)
        if va + length > 1 << 64:
            length = (1 << 64) - va
        device = rng.randrange(len(self.slots))
        return Access(device, rng.randrange(ENGINES), kind, va, length, ssid, rng.getrandbits(64))

    def remap(self) -> list[Op]:
        """Change a descriptor; more often than not, tell the SMMU."""
        rng = self.rng
        half, slot, asid = rng.choice(self.addressed)
        if self.stage2 and chance(rng, 0.3):
            if chance(rng, 0.1):
                return self.stage2.lose_tables([self.access() for _ in range(4)])
            return self.stage2.remap()
        if self.smmu.get("contiguous") and chance(rng, 0.25):
            return [*half.run(slot), *([Command(0x11 | asid << 48)] if chance(rng, 0.95) else [])]
        if chance(rng, 0.85):
            told = [self.tlbi_va(half, slot, asid)] if chance(rng, 0.5) else []
            return [Poke(slot.where[LAST_LEVEL], half.page()), *told]
        level = rng.choice([level for level in slot.where if level < LAST_LEVEL] or [LAST_LEVEL])
        if level == LAST_LEVEL:
            return []
        ops: list[Op] = [Poke(slot.where[level], half.upper_descriptor(slot, level))]
        told_asid = [Command(0x11 | vmid << 32 | asid << 48) for vmid in ((0, VMID) if self.stage2 else (0,))]
        return [*ops, *told_asid] if chance(rng, 0.95) else ops

    def resume(self) -> Resume:
        rng = self.rng
        wrong = rng.choice(("sid", "stag")) if chance(rng, 0.05) else ""
        return Resume(rng.randrange(8), chance(rng, 0.7), chance(rng, 0.5), wrong)

    def probe(self) -> Probe:
        ssid = self.ssid()
        return Probe(self.rng.randrange(len(self.slots)), self.address(ssid) + self.rng.randrange(4096), ssid)

    def tlbi(self) -> Command:
        rng = self.rng
        half, slot, asid = rng.choice(self.addressed)
        if chance(rng, 0.8):
            return self.tlbi_va(half, slot, asid)
        vmid = 1 if chance(rng, 0.1) else self.vmid()
        return Command(rng.choice(TLBI_WHOLE) | vmid << 32 | asid << 48)

    def tlbi_va(self, half: Space, slot: Slot, asid: int) -> Command:
        rng = self.rng
        vmid = 1 if chance(rng, 0.03) else self.vmid()
        asid = rng.choice(self.asids) if chance(rng, 0.05) else asid
        low = rng.choice((0x12, 0x12, 0x13)) | vmid << 32 | asid << 48
        high = slot.va
        if chance(rng, 0.4):
            granule = half.half.granule
            num, scale = rng.randrange(8), rng.choice((0, 0, 0, 1, 2, 4, 4 if half.upper else 12))
            ttl = rng.choice((0, 0, 0, 3, 3, 2, 1))
            if chance(rng, 0.8):
                high &= -1 << granule + (LAST_LEVEL - (ttl or LAST_LEVEL)) * (granule - 3)
            tg = rng.randrange(4) if chance(rng, 0.1) else RANGE_TG[granule]
            low |= num << 12 | scale << 20
            high |= tg << 10 | ttl << 8
        high |= chance(rng, 0.5)
        return Command(low, high)

    def vmid(self) -> int:
        return self.rng.choice((0, VMID, VMID)) if self.stage2 else 0

    def cfgi(self) -> Command:
        rng = self.rng
        sid = 8 * rng.choice((*self.slots, 5))
        return rng.choice(
            (
                Command(0x03 | sid << 32, 1),
                Command(0x04 | sid << 32, rng.choice((0, 2, 5, 31))),
                Command(0x05 | rng.choice(self.ssids) << 12 | sid << 32, 1),
                Command(0x05 | rng.choice(self.ssids) << 12 | sid << 32, 1),
                Command(0x06 | sid << 32),
            )
        )

    def reconfigure(self) -> list[Op]:
        """Change a CD or an STE; mostly, tell the SMMU."""
        rng = self.rng
        if chance(rng, 0.75):
            ssid = rng.choice(self.ssids)
            ops = self.write_cd(ssid)
            if chance(rng, 0.8):
                ops += [Command(0x05 | ssid << 12 | 8 * slot << 32, 1) for slot in self.slots]
            return ops
        sid = 8 * rng.choice(self.slots)
        return [*self.write_ste(sid, sane=chance(rng, 0.75)), Command(0x03 | sid << 32, 1)]
