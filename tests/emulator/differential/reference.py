# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference: what an SMMUv3 and its test device do, by the specification and by docs/emulator.md.

Every operation gives what must be observed. It raises Unpredictable, and must not be used further, where the
architecture leaves the result open.
"""

from __future__ import annotations

from collections.abc import Callable

from .config import Bypass
from .iotlb import Unpredictable
from .ops import Access, Case, Command, Fill, GiveUp, Kind, Op, Poke, Probe, Resume, StallTerm, StreamTable, Switch
from .parts import BUSY, DONE, ERROR, Running, Stall
from .stage2 import Stage2
from .translation import Translation
from .walk import field

CHUNK = 4096
"""An access of the device does not cross this."""
WRAP = 1 << 64
CERROR_ILL = 1


class Reference(Translation):
    """See the module."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.stalls: list[Stall] = []
        self.running: dict[tuple[int, int], Running] = {}
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
        if isinstance(found, Stage2):
            return not op.va + 3 * CHUNK >> self.model.oas
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
                self.iotlb.all_of_vmid(vmid, stage2=False)
            case 0x11:
                counter = "cmd-tlbi-nh-asid"
                self.iotlb.asid(vmid, field(low, 63, 48))
            case 0x12 | 0x13 | 0x2A as code:
                counter = {0x12: "cmd-tlbi-nh-va", 0x13: "cmd-tlbi-nh-vaa", 0x2A: "cmd-tlbi-s2-ipa"}[code]
                if not self.iotlb.address(low, high, any_asid=code == 0x13, stage2=code == 0x2A):
                    self.stats["cmd-sync"] += 1  # which the driver puts in its place
                    return CERROR_ILL
            case 0x28:
                counter = "cmd-tlbi-s12-vmall"
                self.iotlb.all_of_vmid(vmid, stage2=True)
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
