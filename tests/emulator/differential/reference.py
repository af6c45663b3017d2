# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference: what an SMMUv3 and its test device do, by the specification and by docs/emulator.md.

Every operation gives what must be observed. It raises Unpredictable, and must not be used further, where the
architecture leaves the result open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from .. import layout
from . import config, records
from .config import Abort, Bypass, Context, Found
from .iotlb import Iotlb, Unpredictable
from .ops import Access, Case, Command, Fill, GiveUp, Kind, Op, Poke, Probe, Resume, StallTerm, StreamTable, Switch
from .parts import BUSY, DONE, ERROR, Ram, Running, Stall
from .records import COUNTERS, Record
from .walk import Entry, Fault, Range, WalkFault, field, walk

CHUNK = 4096
"""An access of the device does not cross this."""
WRAP = 1 << 64
CERROR_ILL = 1


class Reference:
    """See the module."""

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
        self.stalls: list[Stall] = []
        self.running: dict[tuple[int, int], Running] = {}
        self._caches_faults = bool(props.get("cache-faults", False))
        self._sids = [8 * slot for slot in case.slots]
        self._switch = Switch(smmuen=True, eventqen=True, gbpa_abort=False)
        self._streams = StreamTable(layout.STREAM_TABLE, 8, 0)
        self._stalled_record: int | None = None
        self._configs: dict[tuple[int, int | None], Found] = {}
        self._does: dict[type, Callable[..., object]] = {
            Poke: self._poke,
            Fill: self._fill,
            Access: self._access,
            Command: self._command,
            Resume: self._resume,
            StallTerm: self._stall_term,
            GiveUp: self._give_up,
            Probe: self._probe,
            Switch: self._set_switch,
            StreamTable: self._set_streams,
        }

    def apply(self, op: Op) -> object:
        """What must be observed: None, or of an access its :class:`Running`, of a command its error, and so on."""
        return self._does[type(op)](op)

    # The CPU

    def _poke(self, op: Poke) -> None:
        self.ram.write(op.pa, op.value.to_bytes(8, "little"))

    def _fill(self, op: Fill) -> None:
        self.ram.write(op.pa, bytes([op.byte]) * op.size)

    def _set_switch(self, op: Switch) -> None:
        if self._switch.smmuen and not op.smmuen:  # 6.3.9.6
            self._end(lambda stall: True, "stall-disable")
        self._switch = op
        waiting = [stall for stall in self.stalls if stall.number is None]
        if not op.eventqen or not waiting:
            return
        if len(waiting) > 1:
            raise Unpredictable("several stalls wait for the event queue: which comes first?")
        self._retry(waiting[0])

    def _set_streams(self, op: StreamTable) -> None:
        self._streams = op

    # The device

    def can_run(self, op: Access) -> bool:
        """Whether the engine is free, and the access will not go to some device of the machine."""
        running = self.running.get((op.device, op.engine))
        if running and running.status == BUSY:
            return False
        found = self._lookup(self._sids[op.device], op.ssid) if self._switch.smmuen else Bypass()
        return not isinstance(found, Bypass) or not self.ram.elsewhere(op.va)

    def _access(self, op: Access) -> Running:
        length = 8 if op.kind == Kind.FETCH_ADD else op.length
        running = self.running[op.device, op.engine] = Running(op, length)
        self._run(running)
        return running

    def _run(self, running: Running) -> None:
        """Access after access, until the end, an error or a stall."""
        op = running.op
        while running.done < running.length:
            va = op.va + running.done
            size = min(running.length - running.done, CHUNK - va % CHUNK)
            pa = self._translate(op, va)
            if pa is None:
                running.fault = va
                self.stalls.append(Stall(self._sids[op.device], (op.device, op.engine), self._stalled_record))
                running.stalls += 1
                return
            if pa >= 0 and self.ram.elsewhere(pa):
                raise Unpredictable(f"an access to a device at {pa:#x}")
            if pa < 0 or not self.ram.has(pa, size):
                running.fault = va
                running.status = DONE | ERROR
                return
            self._transfer(running, pa, size)
            running.done += size
        running.status = DONE

    def _transfer(self, running: Running, pa: int, size: int) -> None:
        op = running.op
        if op.kind == Kind.WRITE:
            at = running.done % 8
            pattern = op.data.to_bytes(8, "little") * (size // 8 + 2)
            self.ram.write(pa, pattern[at : at + size])
            return
        content = self.ram.read(pa, size)
        if op.kind == Kind.FETCH_ADD:
            running.data = int.from_bytes(content, "little")
            self.ram.write(pa, ((running.data + op.data) % WRAP).to_bytes(8, "little"))
            return
        running.sum += sum(content)
        if running.done < 8:
            running.data |= int.from_bytes(content[: 8 - running.done], "little") << 8 * running.done

    def _give_up(self, op: GiveUp) -> None:
        running = self.running.get((op.device, op.engine))
        if running and running.status == BUSY:
            self._end(lambda stall: stall.engine == (op.device, op.engine), "stall-cancel")

    # Translation

    def _translate(self, op: Access, va: int) -> int | None:
        """The physical address; -1: aborted; None: stalled, with ``_stalled_record``."""
        self.accesses += 1
        if not self._switch.smmuen:
            return -1 if self._switch.gbpa_abort else va
        sid, write = self._sids[op.device], op.kind != Kind.READ
        found = self._configuration(sid, op.ssid)
        if isinstance(found, Record):
            self._record(found)
            return -1
        if isinstance(found, Bypass):
            return va
        if isinstance(found, Abort):
            return -1
        result = self._stage1(found, va, write)
        if isinstance(result, Entry):
            return result.pa | va & (1 << result.shift) - 1
        stalls = found.stall and result.fault != Fault.WALK_EABT
        record = records.fault(result.fault, sid, op.ssid, va, write, stalls, result.fetch)
        if stalls:
            self.stats["stalls"] += 1
            self._stalled_record = self._record(record)
            return None
        if found.record or result.fault == Fault.WALK_EABT:
            self._record(record)
        return -1

    def _configuration(self, sid: int, ssid: int | None) -> Found | Record:
        """Cached for each stream and substream; what was refused is not."""
        found = self._lookup(sid, ssid)
        if not isinstance(found, Record):
            self._configs[sid, ssid] = found
        return found

    def _lookup(self, sid: int, ssid: int | None) -> Found | Record:
        cached = self._configs.get((sid, ssid))
        return cached or config.find(self.model, self.ram, self._streams, sid, ssid)

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

    def _stage1(self, context: Context, va: int, write: bool) -> Entry | WalkFault:
        va = self._untagged(context, va)
        half = self._half(context, va)
        if half is None:
            self.perhaps_misses += any(each.epd for each in context.halves)
            return WalkFault(Fault.TRANSLATION)
        if half.epd:  # 5.4: no walk
            if self.iotlb.holds(0, context.tag, va):
                raise Unpredictable("walks are disabled, TxSZ and TGx mean nothing, and an entry is there")
            self.stats["iotlb-misses"] += 1
            return WalkFault(Fault.TRANSLATION)
        entry = self.iotlb.lookup(0, context.tag, half, va)
        if entry and write and entry.clean:  # 3.13.3: the table decides
            if not context.rules.hd:
                raise Unpredictable("a clean entry, and no hardware update of the dirty state")
        elif entry and not (entry.write if write else entry.read):
            self.stats["iotlb-hit-perm-faults"] += 1
            return WalkFault(Fault.PERMISSION)
        elif entry:
            return entry
        result = walk(self.ram, half, va, context.output_bits, context.rules, write)
        if isinstance(result, Entry):
            self.iotlb.insert(0, context.tag, half, va, result)
            for flag in result.updates:
                self.stats[flag] += 1
        elif self._caches_faults and result.entry:
            self.iotlb.insert(0, context.tag, half, va, result.entry)
        return result

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
        half = self._half(found, op.va) if isinstance(found, Context) else None
        if half is None or not isinstance(found, Context):
            return nothing
        va = self._untagged(found, op.va)
        if half.epd:
            if self.iotlb.holds(0, found.tag, va):
                raise Unpredictable("see there")
            return nothing
        entry = self.iotlb.peek(0, found.tag, half, va)
        return (True, entry.read, entry.write, entry.level, half.granule) if entry else nothing

    # Stalls

    def nth_stall(self, nth: int) -> Stall | None:
        """Of those that have a record."""
        recorded = [stall for stall in self.stalls if stall.number is not None]
        return recorded[nth % len(recorded)] if recorded else None

    def _resume(self, op: Resume) -> Running | None:
        """CMD_RESUME (4.7.1); the engine's command, afterwards."""
        stall = self.nth_stall(op.nth)
        assert stall
        self.stats["cmd-resume"] += 1
        if op.wrong:
            self.stats["resume-nomatch"] += 1
            return None
        if not op.retry:
            self._end(lambda other: other is stall, "resume-abort" if op.abort else "resume-term")
            return self.running[stall.engine]
        self.stats["resume-retry"] += 1
        return self._retry(stall)

    def _retry(self, stall: Stall) -> Running:
        self.stalls.remove(stall)
        running = self.running[stall.engine]
        running.retries += 1
        self._run(running)
        return running

    def _stall_term(self, op: StallTerm) -> int:
        if not self.model.stall:
            self.stats["cmd-sync"] += 1
            return CERROR_ILL
        self.stats["cmd-stall-term"] += 1
        self._end(lambda stall: stall.sid == op.sid, "stall-term")
        return 0

    def _end(self, doomed: Callable[[Stall], bool], counter: str) -> None:
        """Stalled accesses are aborted."""
        for stall in [stall for stall in self.stalls if doomed(stall)]:
            self.stalls.remove(stall)
            self.stats[counter] += 1
            self.running[stall.engine].status = DONE | ERROR

    # Commands

    def _command(self, op: Command) -> int:
        """CMDQ_CONS.ERR."""
        low, high = op.low, op.high
        sid, vmid = field(low, 63, 32), field(low, 47, 32)
        counter = ""
        match field(low, 7, 0):
            case 0x03:
                counter = "cmd-cfgi-ste"
                self._forget(lambda at: at[0] == sid)
            case 0x04:  # CFGI_STE_RANGE; CFGI_ALL is the range of all
                bits = field(high, 4, 0) + 1
                counter = "cmd-cfgi-ste-range"
                self._forget(lambda at: at[0] >> bits == sid >> bits)
            case 0x05:
                counter = "cmd-cfgi-cd"
                ssid = field(low, 31, 12)
                self._forget(lambda at: at[0] == sid and (at[1] or 0) == ssid)
            case 0x06:
                counter = "cmd-cfgi-cd-all"
                self._forget(lambda at: at[0] == sid)
            case 0x10:
                counter = "cmd-tlbi-nh-all"
                self.iotlb.all_of_vmid(vmid)
            case 0x11:
                counter = "cmd-tlbi-nh-asid"
                self.iotlb.asid(vmid, field(low, 63, 48))
            case 0x12 | 0x13 as code:
                counter = "cmd-tlbi-nh-va" if code == 0x12 else "cmd-tlbi-nh-vaa"
                if not self.iotlb.address(low, high, any_asid=code == 0x13):
                    self.stats["cmd-sync"] += 1  # which the driver puts in its place
                    return CERROR_ILL
            case 0x28:
                counter = "cmd-tlbi-s12-vmall"
                self.iotlb.all_of_vmid(vmid)
            case 0x30:
                counter = "cmd-tlbi-nsnh-all"
                self.iotlb.drop(lambda key, entry: True)
            case 0x46:
                counter = "cmd-sync"
            case _:
                self.stats["cmd-sync"] += 1
                return CERROR_ILL
        self.stats[counter] += 1
        if "tlbi" in counter:
            self.stats["tlbi"] += 1
        return 0

    def _forget(self, doomed: Callable[[tuple[int, int | None]], bool]) -> None:
        for at in [at for at in self._configs if doomed(at)]:
            del self._configs[at]
