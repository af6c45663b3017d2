# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of one access: from its stream and substream to a physical address, or to a record."""

from __future__ import annotations

from collections import Counter

from .. import layout
from . import config, records
from .config import Abort, Bypass, Context, Found
from .iotlb import Iotlb, Unpredictable
from .ops import Access, Case, Kind, Probe, StreamTable, Switch
from .parts import Ram
from .records import COUNTERS, Record
from .stage2 import CLASS_CD, CLASS_IN, CLASS_TT, GRANULE, READ, TAG, Need, Stage2, Stage2Fault, combine
from .stage2 import walk as walk_stage2
from .walk import Entry, Fault, Range, WalkFault, field, walk


class Translation:
    """The half of the reference that is the SMMU's translation, with the caches that it has."""

    def __init__(self, case: Case) -> None:
        props = case.smmu
        self.model = config.Model(
            int(props.get("ssidsize", 0)),
            bool(props.get("stall", False)),
            int(props.get("oas", 44)),
            config.HTTU[str(props.get("httu", "none"))],
            props.get("stall") == "force",
            bool(props.get("contiguous", False)),
        )
        self.stats: Counter[str] = Counter()
        self.perhaps_misses = 0
        """Whether a lookup is counted for an address in neither half, where one is disabled, is nowhere said."""
        self.accesses = 0
        """That were presented to the SMMU, retries included."""
        self.ram = Ram()
        self.iotlb = Iotlb(int(props.get("iotlb-size", 256)), self.stats)
        self.records: list[Record] = []
        self._caches_faults = bool(props.get("cache-faults", False))
        self._sids = [8 * slot for slot in case.slots]
        self._switch = Switch(smmuen=True, eventqen=True, gbpa_abort=False)
        self._streams = StreamTable(layout.STREAM_TABLE, 8, 0)
        self._stalled_record: int | None = None
        self._configs: dict[tuple[int, int | None], Found] = {}

    def _translate(self, op: Access, va: int) -> int | None:
        """The physical address; -1: aborted; None: stalled, with ``_stalled_record``."""
        self.accesses += 1
        if not self._switch.smmuen:
            return -1 if self._switch.gbpa_abort else va
        sid, write = self._sids[op.device], op.kind != Kind.READ
        need = Need(op.kind != Kind.WRITE, write)
        try:
            found = self._configuration(sid, op.ssid)
            if isinstance(found, Record):
                self._record(found)
                return -1
            if isinstance(found, Bypass):
                return va
            if isinstance(found, Abort):
                return -1
            result = self._stage2(found, va, need, CLASS_IN) if isinstance(found, Stage2) else None
            result = result or self._stage1(found, va, need)  # type: ignore[arg-type]
        except Stage2Fault as fault:
            fetched = fault.fault == Fault.WALK_EABT
            addr2 = fault.fetch if fetched else fault.ipa & ~0xFFF
            stalls = fault.stage2.stall and not fetched
            record = Record(fault.fault, sid, op.ssid, stalls, not write, fault.cls, va, addr2, s2=True)
            return self._faulted(record, fault.stage2.record)
        if isinstance(result, Entry):
            return result.pa | va & (1 << result.shift) - 1
        assert isinstance(found, Context)
        stalls = found.stall and result.fault != Fault.WALK_EABT
        record = records.fault(result.fault, sid, op.ssid, va, write, stalls, result.fetch)
        return self._faulted(record, found.record)

    def _faulted(self, record: Record, wanted: bool) -> int | None:
        """What :meth:`_translate` gives for a fault; ``wanted``: its record, if the access does not stall."""
        if record.stall:
            self.stats["stalls"] += 1
            self._stalled_record = self._record(record)
            return None
        if wanted or record.type == Fault.WALK_EABT:
            self._record(record)
        return -1

    def _stage2(self, stage2: Stage2, ipa: int, need: Need, cls: int) -> Entry:
        """What stage 2 alone translates: an IPA, of a CD or a table, or of an access that has no stage 1."""
        if ipa >> self.model.oas:
            raise Unpredictable("which stage's address size fault is it?")
        entry = self.iotlb.lookup(stage2.vmid, TAG, stage2.range, ipa)
        if entry and need.denied(entry.read, entry.write):
            self.stats["iotlb-hit-perm-faults"] += 1
            raise Stage2Fault(stage2, Fault.PERMISSION, cls, ipa)
        if not entry:
            entry = walk_stage2(self.ram, stage2, ipa, need, cls)
            self.iotlb.insert(stage2.vmid, TAG, stage2.range, ipa, entry)
        return entry

    def _ipa(self, stage2: Stage2, ipa: int, cls: int = CLASS_CD) -> int:
        """The physical address of a CD or a descriptor."""
        entry = self._stage2(stage2, ipa, READ, cls)
        return entry.pa | ipa & (1 << entry.shift) - 1

    def _configuration(self, sid: int, ssid: int | None) -> Found | Record:
        """Cached for each stream and substream; what was refused is not."""
        found = self._configs.get((sid, ssid))
        found = found or config.find(self.model, self.ram, self._streams, sid, ssid, self._ipa)
        if not isinstance(found, Record):
            self._configs[sid, ssid] = found
        return found

    def _lookup(self, sid: int, ssid: int | None) -> Found | Record | None:
        """The same, and nothing is cached; None: the way to a CD that is not cached takes stage 2."""

        def via(stage2: Stage2, ipa: int) -> int:
            raise Stage2Fault(stage2, Fault.TRANSLATION, CLASS_CD, ipa)

        cached = self._configs.get((sid, ssid))
        try:
            return cached or config.find(self.model, self.ram, self._streams, sid, ssid, via)
        except Stage2Fault:
            return None

    def _half(self, context: Context, va: int) -> Range | None:
        """Which of the two ranges an address is in (D8.2.4)."""
        upper = va >> 55 & 1
        half = context.halves[upper]
        if half.epd:
            return half
        top = 55 if context.tbi[upper] else 63
        extension = field(va, top, half.bits)
        return half if extension == (upper and (1 << top - half.bits + 1) - 1) else None

    @staticmethod
    def _untagged(context: Context, va: int) -> int:
        """Without the top byte, where that is ignored (D8.8)."""
        upper = va >> 55 & 1
        return va & (1 << 56) - 1 | 0xFF * upper << 56 if context.tbi[upper] else va

    def _stage1(self, context: Context, va: int, need: Need) -> Entry | WalkFault:
        write, vmid, stage2 = need.write, context.vmid, context.stage2
        va = self._untagged(context, va)
        half = self._half(context, va)
        if half is None:
            self.perhaps_misses += any(each.epd for each in context.halves)
            return WalkFault(Fault.TRANSLATION)
        if half.epd:  # 5.4: no walk
            if self.iotlb.holds(vmid, context.tag, va):
                raise Unpredictable("walks are disabled, TxSZ and TGx mean nothing, and an entry is there")
            self.stats["iotlb-misses"] += 1
            return WalkFault(Fault.TRANSLATION)
        entry = self.iotlb.lookup(vmid, context.tag, half, va, stage2.range if stage2 else None)
        if entry and write and entry.clean:  # 3.13.3: the table decides
            if not context.rules.hd:
                raise Unpredictable("a clean entry, and no hardware update of the dirty state")
        elif entry and not (entry.write if write else entry.read):
            self.stats["iotlb-hit-perm-faults"] += 1
            return WalkFault(Fault.PERMISSION)
        elif entry:
            if stage2 and need.denied(entry.s2_read, entry.s2_write):
                self.stats["iotlb-hit-perm-faults"] += 1
                raise Stage2Fault(stage2, Fault.PERMISSION, CLASS_IN, entry.ipa | va & (1 << entry.shift) - 1)
            return entry
        result = self._walk(context, half, va, write)
        if isinstance(result, Entry) and stage2:
            ipa = result.pa | va & (1 << result.shift) - 1
            result = combine(result, walk_stage2(self.ram, stage2, ipa, need, CLASS_IN), ipa, half)
        if isinstance(result, Entry):
            self.iotlb.insert(vmid, context.tag, half, va, result)
            for flag in result.updates:
                self.stats[flag] += 1
        elif self._caches_faults and result.entry:
            self.iotlb.insert(vmid, context.tag, half, va, result.entry)
        return result

    def _walk(self, context: Context, half: Range, va: int, write: bool) -> Entry | WalkFault:
        stage2 = context.stage2

        def via(address: int) -> int:
            return self._ipa(stage2, address, CLASS_TT) if stage2 else address

        return walk(self.ram, half, va, context.output_bits, context.rules, write, via)

    def _record(self, record: Record) -> int | None:
        """Write a record; its number, None if the queue is not writable."""
        if not self._switch.eventqen:
            self.stats["stalls-unrecorded" if record.stall else "events-lost"] += 1
            return None
        self.stats["events"] += 1
        self.stats[COUNTERS[record.type]] += 1  # type: ignore[index]
        self.records.append(record)
        return len(self.records) - 1

    def _probe(self, op: Probe) -> tuple[bool, bool, bool, int, int]:
        """Cached, readable, writable, level, granule."""
        nothing = False, False, False, 0, 0
        if not self._switch.smmuen:
            return nothing
        sid = self._sids[op.device]
        found = self._lookup(sid, op.ssid)
        if isinstance(found, Stage2):
            entry = self.iotlb.peek(found.vmid, TAG, found.range, op.va)
            return (True, entry.read, entry.write, entry.level, GRANULE) if entry else nothing
        half = self._half(found, op.va) if isinstance(found, Context) else None
        if half is None or not isinstance(found, Context):
            return nothing
        va = self._untagged(found, op.va)
        if half.epd:
            if self.iotlb.holds(found.vmid, found.tag, va):
                raise Unpredictable("see there")
            return nothing
        entry = self.iotlb.peek(found.vmid, found.tag, half, va, found.stage2.range if found.stage2 else None)
        if not entry:
            return nothing
        granule = entry.granule or half.granule
        return True, entry.read and entry.s2_read, entry.write and entry.s2_write, entry.level, granule
