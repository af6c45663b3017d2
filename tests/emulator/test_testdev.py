# SPDX-License-Identifier: GPL-2.0-or-later
"""sva-testdev: what Linux looks at, engines, and bad programming, which gives a status bit and never a hang."""

from __future__ import annotations

import pytest

from .conftest import MachineMaker
from .layout import DATA, MSI
from .pagetable import RW
from .qtest import Machine
from .smmu import Dss
from .testdev import (
    ABORT,
    ADDR,
    BYTES_DONE,
    CMD,
    DATA2,
    E_STALLS,
    ENGINES,
    FAILED,
    FAULT_ADDR,
    LEN,
    MAX_STALLS,
    NO_PASID,
    PASID,
    PASID_CONTROL,
    PCI_COMMAND,
    PCI_MASTER,
    PCI_MEMORY,
    RESET,
    RETRIES,
    RETRY_NS,
    STATUS,
    SUM,
    Do,
    St,
    TestDevice,
)
from .testdev import DATA as DATA_REGISTER
from .world import PAGE, SSID, VA, World

BAD = FAILED | St.BAD_PROGRAMMING
EXP_CAP = 0x80


# PCI


def test_identity_is_what_linux_marks_dma_can_stall(world: World) -> None:
    """quirk_huawei_pcie_sva() of drivers/pci/quirks.c: 19e5:a250, revision 0x21."""
    qtest = world.machine.qtest
    assert qtest.read32(world.dev.config) == 0xA250_19E5
    assert qtest.read32(world.dev.config + 8) & 0xFF == 0x21


def test_capabilities_are_what_pci_enable_pasid_wants(world: World) -> None:
    """RCiEP (type 9), End-End TLP prefix, PASID of 16 bits, no execute and no privileged mode."""
    qtest, config = world.machine.qtest, world.dev.config
    assert qtest.read32(config + EXP_CAP) & 0xFF == 0x10
    assert qtest.read32(config + EXP_CAP) >> 20 & 0xF == 9
    assert qtest.read32(config + EXP_CAP + 0x24) >> 21 & 1
    assert qtest.read32(config + 0x100) & 0xFFFF == 0x1B
    assert qtest.read32(config + 0x104) & 0x1F06 == 16 << 8
    assert qtest.read32(config + 0x104) >> 16 == 1


def test_ids_and_sizes_are_properties(start: MachineMaker) -> None:
    machine = start(
        devices=[{"addr": "2.0", "vendor": 0x1234, "device": 0x5678, "revision": 9, "engines": 3, "pasid-bits": 0}]
    )
    dev = TestDevice(machine, 2)
    assert machine.qtest.read32(dev.config) == 0x5678_1234
    assert machine.qtest.read32(dev.config + 8) & 0xFF == 9
    assert machine.qtest.read32(dev.config + 0x100) == 0
    assert dev.get(ENGINES) == len(dev.engines) == 3
    assert dev.engines[0].run(Do.READ, DATA, SSID) == FAILED | St.NO_PASID


def test_registers_tell_magic_version_and_engines(world: World) -> None:
    assert [world.dev.get(offset) for offset in (0, 4, 8)] == [0x5356_4131, 2, 8]
    assert world.dev.get64(0) == 0x2_5356_4131


def test_interrupt_of_engine_n_is_msix_vector_n(world: World) -> None:
    """Messages are DMA without a PASID; here they bypass to plain memory."""
    qtest, dev = world.machine.qtest, world.dev
    world.set_ste(s1dss=Dss.BYPASS)
    control = config_capability(world, 0x11) + 2
    assert qtest.read32(control - 2) >> 16 & 0x7FF == len(dev.engines) - 1
    for n in range(len(dev.engines)):
        qtest.write64(dev.msix + n * 16, MSI + n * 4)
        qtest.write32(dev.msix + n * 16 + 8, 0xC0DE_0000 + n)
        qtest.write32(dev.msix + n * 16 + 12, 0)
    qtest.write16(control, 0x8000)
    world.map()
    assert dev.engines[5].run(Do.READ, VA, SSID) == St.DONE
    messages = [qtest.read32(MSI + n * 4) for n in range(len(dev.engines))]
    assert messages == [0, 0, 0, 0, 0, 0xC0DE_0005, 0, 0]
    assert dev.engines[2].run(Do.WRITE, VA, SSID, length=0) == BAD
    assert qtest.read32(MSI + 8) == 0xC0DE_0002


def config_capability(world: World, wanted: int) -> int:
    """Address of a PCI capability."""
    qtest, config = world.machine.qtest, world.dev.config
    offset = qtest.read32(config + 0x34) & 0xFF
    while offset:
        header = qtest.read32(config + offset)
        if header & 0xFF == wanted:
            return config + offset
        offset = header >> 8 & 0xFF
    raise AssertionError(f"no capability {wanted:#x}")


# Commands


@pytest.fixture
def direct(world: World) -> World:
    """Accesses without PASID go where their address says."""
    world.set_ste(s1dss=Dss.BYPASS)
    return world


def test_read_gives_the_first_bytes_and_the_sum_of_all(direct: World) -> None:
    data = bytes(n * 7 & 0xFF for n in range(2 * PAGE + 100))
    direct.machine.qtest.write(DATA + 5, data)
    assert direct.read(DATA + 5, NO_PASID, len(data)) == St.DONE
    assert direct.engine.data == int.from_bytes(data[:8], "little")
    assert direct.engine.get64(SUM) == sum(data)
    assert direct.engine.get(BYTES_DONE) == len(data)


def test_short_read_is_extended_with_zeros(direct: World) -> None:
    direct.poke(DATA, 0x8877_6655_4433_2211)
    assert direct.engine.run(Do.READ, DATA, NO_PASID, 3, data=2**64 - 1) == St.DONE
    assert direct.engine.data == 0x33_2211


def test_write_repeats_its_data_and_no_more(direct: World) -> None:
    qtest = direct.machine.qtest
    qtest.write(DATA, bytes([0xEE]) * 2 * PAGE)
    assert direct.engine.run(Do.WRITE, DATA + PAGE - 11, NO_PASID, 30, data=0x8877_6655_4433_2211) == St.DONE
    pattern = (bytes([0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]) * 4)[:30]
    assert qtest.read(DATA + PAGE - 12, 32) == b"\xee" + pattern + b"\xee"


def test_long_command_takes_more_than_one_turn_of_the_main_loop(direct: World) -> None:
    length = 5 << 20
    assert direct.engine.run(Do.WRITE, DATA, NO_PASID, length, data=0x0101_0101_0101_0101) == St.DONE
    assert direct.engine.get(BYTES_DONE) == length
    assert direct.read(DATA, NO_PASID, length) == St.DONE
    assert direct.engine.get64(SUM) == length


def test_fetch_add_adds_and_gives_what_was_there(direct: World) -> None:
    direct.poke(DATA + 8, 40)
    assert direct.engine.run(Do.FETCH_ADD, DATA + 8, NO_PASID, data=2) == St.DONE
    assert (direct.engine.data, direct.peek(DATA + 8), direct.engine.get(BYTES_DONE)) == (40, 42, 8)
    assert direct.engine.run(Do.FETCH_ADD, DATA + 8, NO_PASID, data=2**64 - 50) == St.DONE
    assert (direct.engine.data, direct.peek(DATA + 8)) == (42, 2**64 - 8)


def test_fetch_add_to_what_is_not_memory_fails(direct: World) -> None:
    """The SMMU's own registers."""
    assert direct.engine.run(Do.FETCH_ADD, 0x0905_0000, NO_PASID) == FAILED


def test_dma_to_the_devices_own_registers_fails(direct: World) -> None:
    """QEMU's guard against re-entrance; no hang, no recursion."""
    assert direct.engine.run(Do.WRITE, direct.dev.bar + 0x1000 + CMD, NO_PASID, 4, data=1) == FAILED
    assert direct.engine.run(Do.READ, direct.dev.bar, NO_PASID) == FAILED


def test_each_4k_of_a_command_is_an_access_of_its_own(world: World) -> None:
    world.map(VA, DATA, RW, level=2)
    assert world.read(VA + PAGE // 2, length=2 * PAGE) == St.DONE
    stats = world.stats()
    assert stats["iotlb-hits"] + stats["iotlb-misses"] == 3


def test_fault_in_the_middle_keeps_what_was_done(world: World) -> None:
    world.map()
    world.engine.start(Do.WRITE, VA + PAGE - 16, SSID, 32, data=0x77)
    world.engine.wait_stalls(1)
    event = world.smmu.pop_event()
    assert event.addr == world.engine.get64(FAULT_ADDR) == VA + PAGE
    assert world.engine.get(BYTES_DONE) == 16
    assert world.peek(DATA + PAGE - 8) == 0x77
    world.smmu.resume(event, retry=False)
    assert world.engine.wait() == FAILED
    assert world.engine.get(BYTES_DONE) == 16


def test_counts_start_anew_with_each_command(world: World) -> None:
    event = world.stall(Do.READ)
    world.map()
    world.finish(event)
    assert world.read() == St.DONE
    engine = world.engine
    assert [engine.get(register) for register in (E_STALLS, RETRIES)] == [0, 0]
    assert engine.get64(FAULT_ADDR) == 0


# Stalls


def test_max_stalls_is_a_bound_for_one_access(world: World) -> None:
    world.engine.start(Do.WRITE, VA, SSID, max_stalls=3)
    for count in (1, 2, 3):
        world.engine.wait_stalls(count)
        world.smmu.resume(world.smmu.pop_event())
    assert world.engine.wait() == FAILED | St.GAVE_UP
    assert (world.engine.stalls, world.engine.get(RETRIES)) == (3, 2)
    assert world.stats()["stalls-outstanding"] == 0


def test_max_stalls_is_not_a_bound_for_the_whole_command(world: World) -> None:
    world.engine.start(Do.WRITE, VA, SSID, length=4 * PAGE, max_stalls=2)
    for page in range(4):
        world.engine.wait_stalls(page + 1)
        world.map(VA + page * PAGE, DATA + page * PAGE)
        world.smmu.resume(world.smmu.pop_event())
    assert world.engine.wait() == St.DONE
    assert world.engine.stalls == 4


def test_retry_waits_on_the_virtual_clock(world: World) -> None:
    world.engine.put(RETRY_NS, 1000)
    event = world.stall(Do.READ)
    world.map()
    world.smmu.resume(event)
    world.machine.qtest.clock_step(999)
    assert world.dev.engines[1].run(Do.READ, VA, SSID) == St.DONE
    assert world.engine.busy
    world.machine.qtest.clock_step(1)
    assert world.engine.wait() == St.DONE


def test_abort_while_a_retry_is_due(world: World) -> None:
    world.engine.put(RETRY_NS, 1000)
    event = world.stall(Do.WRITE, data=1)
    world.map()
    world.smmu.resume(event)
    world.engine.put(ABORT, 1)
    assert world.engine.status == FAILED
    world.machine.qtest.clock_step(2000)
    assert world.dev.engines[1].run(Do.READ, VA, SSID) == St.DONE
    assert world.peek(DATA) == 0
    assert world.engine.status == FAILED


def test_reset_of_the_engines_drops_every_command_and_says_so(world: World) -> None:
    events = [world.stall(Do.READ, VA + n * PAGE, engine=n) for n in range(2)]
    world.dev.put(RESET, 1)
    assert [engine.status for engine in world.dev.engines[:3]] == [FAILED, FAILED, St(0)]
    stats = world.stats()
    assert (stats["stall-cancel"], stats["stalls-outstanding"]) == (2, 0)
    assert world.engine.get(PASID) == NO_PASID
    assert world.engine.get64(ADDR) == 0
    world.smmu.resume(events[0])
    world.map()
    assert world.read() == St.DONE


def test_engines_work_side_by_side(world: World) -> None:
    for n in range(len(world.dev.engines)):
        world.map(VA + n * PAGE, DATA + n * PAGE)
        world.poke(DATA + n * PAGE, n)
        world.dev.engines[n].start(Do.READ, VA + n * PAGE, SSID)
    for n, engine in enumerate(world.dev.engines):
        assert engine.wait() == St.DONE
        assert engine.data == n


# Bad programming


@pytest.mark.parametrize(
    ("do", "addr", "length"),
    [
        (0, VA, 8),
        (11, VA, 8),
        (2**32 - 1, VA, 8),
        (Do.READ, VA, 0),
        (Do.WRITE, VA, 0),
        (Do.READ, 2**64 - 8, 9),
        (Do.FETCH_ADD, VA + 4, 8),
    ],
    ids=["command-0", "command-11", "command-max", "read-of-0", "write-of-0", "wrapping", "misaligned"],
)
def test_bad_command_is_refused_at_once(world: World, do: int, addr: int, length: int) -> None:
    world.map()
    world.engine.put64(ADDR, addr)
    world.engine.put(LEN, length)
    world.engine.put(PASID, SSID)
    world.engine.put(CMD, do)
    assert world.engine.status == BAD
    assert world.read() == St.DONE


def test_command_to_the_last_byte_of_the_address_space_is_not_wrapping(world: World) -> None:
    world.engine.start(Do.READ, 2**64 - 8, SSID)
    world.engine.wait_stalls(1)
    assert world.smmu.pop_event().addr == 2**64 - 8


def test_pasid_that_is_not_enabled_is_refused(world: World) -> None:
    world.map()
    world.machine.qtest.write16(world.dev.config + PASID_CONTROL, 0)
    assert world.read() == FAILED | St.NO_PASID
    assert world.smmu.event_count == 0


def test_pasid_that_is_too_wide_is_refused(world: World) -> None:
    assert world.read(ssid=1 << 16) == BAD


def test_no_access_without_bus_mastering(world: World) -> None:
    world.map()
    world.machine.qtest.write16(world.dev.config + PCI_COMMAND, PCI_MEMORY)
    assert world.read() == BAD
    assert world.stats()["iotlb-misses"] == 0


def test_bus_mastering_that_ends_during_a_stall_ends_the_command(world: World) -> None:
    event = world.stall(Do.READ)
    world.map()
    world.machine.qtest.write16(world.dev.config + PCI_COMMAND, PCI_MEMORY)
    assert world.finish(event) == BAD
    world.machine.qtest.write16(world.dev.config + PCI_COMMAND, PCI_MEMORY | PCI_MASTER)
    assert world.read() == St.DONE


@pytest.mark.parametrize("register", [ADDR, LEN, PASID, DATA_REGISTER, DATA2, MAX_STALLS, RETRY_NS, CMD])
def test_write_to_a_busy_engine_is_refused_and_the_command_runs_on(world: World, register: int) -> None:
    event = world.stall(Do.WRITE, data=0xDA7A)
    before = world.engine.get(register)
    world.engine.put(register, 1)
    assert world.engine.status == St.BUSY | St.BAD_PROGRAMMING
    assert world.engine.get(register) == before
    world.map()
    assert world.finish(event) == St.DONE | St.BAD_PROGRAMMING
    assert world.peek(DATA) == 0xDA7A
    assert world.read() == St.DONE


def test_read_only_registers_are_read_only(world: World) -> None:
    world.map()
    assert world.read() == St.DONE
    for register in (STATUS, E_STALLS, RETRIES, BYTES_DONE, FAULT_ADDR, SUM):
        before = world.engine.get(register)
        world.engine.put(register, 0xFFFF_FFFF)
        assert world.engine.get(register) == before


def test_registers_that_are_not_there_read_as_zero(world: World) -> None:
    for offset in (0x100, 0xFFC, 0x10F8, 0x1000 + 8 * 0x100, 0xFFFC):
        world.dev.put(offset, 0xFFFF_FFFF)
        assert world.dev.get(offset) == 0


def test_registers_take_32_and_64_bit_accesses(world: World) -> None:
    engine = world.engine
    engine.put(ADDR, 0x5566_7788)
    engine.put(ADDR + 4, 0x1122_3344)
    assert engine.get64(ADDR) == 0x1122_3344_5566_7788
    engine.put64(LEN, 0x7 << 32 | 0x99)
    assert (engine.get(LEN), engine.get(PASID)) == (0x99, 7)


# Without an SMMU


def plain(start: MachineMaker) -> tuple[Machine, TestDevice]:
    machine = start(smmu=None)
    return machine, TestDevice(machine, 2)


def test_without_an_smmu_dma_is_direct(start: MachineMaker) -> None:
    machine, dev = plain(start)
    machine.qtest.write64(DATA, 0xD1EC7)
    assert dev.engines[0].run(Do.READ, DATA, NO_PASID) == St.DONE
    assert dev.engines[0].data == 0xD1EC7


def test_without_an_smmu_a_pasid_means_nothing(start: MachineMaker) -> None:
    machine, dev = plain(start)
    assert dev.engines[0].run(Do.READ, DATA, SSID) == FAILED
    assert not dev.probe(DATA, SSID).cached
    assert dev.get64(0x020) == 0
    machine.qmp("system_reset")
