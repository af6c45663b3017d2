# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine that most tests start from: an SMMU with substreams and stalls, and a device with two processes.

Stream ``dev.sid`` has a linear table of 64 CDs. Substreams :data:`SSID` and :data:`OTHER` have tables of their own
(``table``, ``other``) and stall. CD 0 translates what has no substream (S1DSS), with ``kernel``, and never stalls.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import layout
from .pagetable import G4K, RW, Allocator, Context, Granule, PageTable
from .qtest import Machine
from .smmu import Dss, Ev, Event, Smmu
from .testdev import NO_PASID, Do, Engine, St, TestDevice

SSID, ASID = 5, 105
OTHER, OTHER_ASID = 6, 106
KERNEL_ASID = 1
S1CDMAX = 6
VA = 0x5555_0000_0000
"""An address that user programs have; aligned to 4 GiB."""
PAGE = 0x1000

SVA = {"ssidsize": 16, "stall": True}
"""Properties of the SMMU."""


@dataclass
class World:
    """See the module."""

    machine: Machine
    smmu: Smmu
    dev: TestDevice
    table: PageTable
    other: PageTable
    kernel: PageTable

    @classmethod
    def build(cls, machine: Machine, granule: Granule = G4K) -> World:
        allocator = Allocator()
        table, other, kernel = (PageTable(machine.qtest, allocator, granule) for _ in range(3))
        world = cls(machine, Smmu(machine.qtest), TestDevice(machine, 2), table, other, kernel)
        world.smmu.enable()
        world.set_ste()
        world.set_cd(SSID, world.context())
        world.set_cd(OTHER, Context(world.other, OTHER_ASID))
        world.set_cd(0, Context(world.kernel, KERNEL_ASID, s=False))
        return world

    def context(self) -> Context:
        """The CD of :data:`SSID`."""
        return Context(self.table, ASID)

    def set_ste(self, **fields: object) -> None:
        """Write the device's STE: substreams on, and what ``fields`` change of that. No invalidation."""
        self.smmu.set_ste(self.dev.sid, **{"s1cdmax": S1CDMAX, "s1dss": Dss.SSID0, **fields})  # type: ignore[arg-type]

    def set_cd(self, ssid: int, context: Context) -> None:
        self.smmu.set_cd(ssid, context)

    @property
    def engine(self) -> Engine:
        return self.dev.engines[0]

    def poke(self, pa: int, value: int) -> None:
        self.machine.qtest.write64(pa, value)

    def peek(self, pa: int) -> int:
        return self.machine.qtest.read64(pa)

    def stats(self) -> dict[str, int]:
        return self.machine.stats()

    def map(self, va: int = VA, pa: int = layout.DATA, attributes: int = RW, level: int = 3) -> None:
        """Map in the table of :data:`SSID`."""
        self.table.map(va, pa, attributes, level)

    def read(self, va: int = VA, ssid: int = SSID, length: int = 8) -> St:
        """Run a READ; how it ended."""
        return self.engine.run(Do.READ, va, ssid, length)

    def write(self, va: int = VA, ssid: int = SSID, data: int = 0) -> St:
        """Run a WRITE of 8 bytes; how it ended."""
        return self.engine.run(Do.WRITE, va, ssid, data=data)

    def stall(self, do: Do, va: int = VA, ssid: int = SSID, engine: int = 0, data: int = 0) -> Event:
        """Start an access that must stall; its event."""
        self.dev.engines[engine].start(do, va, ssid, data=data)
        self.dev.engines[engine].wait_stalls(1)
        return self.smmu.pop_event()

    def retry(self, event: Event, engine: int = 0) -> Event:
        """Answer "retry" to an access that must then stall again; the new event."""
        stalls = self.dev.engines[engine].stalls
        self.smmu.resume(event)
        self.dev.engines[engine].wait_stalls(stalls + 1)
        return self.smmu.pop_event()

    def finish(self, event: Event, engine: int = 0) -> St:
        """Answer "retry"; how the command ends."""
        self.smmu.resume(event)
        return self.dev.engines[engine].wait()

    def fault(self, do: Do, va: int = VA, ssid: int = NO_PASID) -> Event:
        """Run an access that must be terminated with an event; that."""
        assert self.engine.run(do, va, ssid) == St.DONE | St.ERROR
        return self.smmu.pop_event()

    def config_error(self, ssid: int = SSID, type_: Ev = Ev.C_BAD_CD) -> Event:
        """Read with a configuration that must be refused as ``type_``."""
        event = self.fault(Do.READ, VA, ssid)
        assert event.type == type_
        assert not event.stall
        return event
