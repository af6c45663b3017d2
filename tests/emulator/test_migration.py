# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that is saved to a file and loaded by another QEMU: nothing heals, nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .audit import audit
from .conftest import MachineMaker
from .layout import DATA
from .pagetable import CONTIGUOUS, G4K, NOT_GLOBAL, RO, RW
from .qtest import Machine, Options
from .smmu import CMDQEN, CR0, EVENTQEN, SMMUEN, Ev
from .testdev import BYTES_DONE, FAILED, RETRY_NS, Do, St
from .world import ASID, OTHER, PAGE, SSID, SVA, VA, World

Record = dict[str, Any]


def wait_migration(machine: Machine) -> None:
    def ended() -> bool:
        status = machine.qmp("query-migrate").get("status")
        assert status != "failed", machine.qmp("query-migrate")
        return bool(status == "completed")

    machine.until("the migration's end", ended)


def move(world: World, start: MachineMaker, folder: Path, smmu: Options = SVA) -> None:
    """Save the machine, and have ``world`` go on with another one that has loaded it."""
    uri = f"file:{folder / 'state'}"
    world.machine.qmp("migrate", uri=uri)
    wait_migration(world.machine)
    there = start(smmu=smmu, incoming=True)
    there.qmp("migrate-incoming", uri=uri)
    wait_migration(there)
    continue_on(world, there)


def continue_on(world: World, there: Machine) -> None:
    """``world`` goes on with another machine."""
    users: list[Any] = [world.smmu, world.table, world.other, world.kernel, world.dev, *world.dev.engines]
    for thing in users:
        thing._qtest = there.qtest
    for thing in users[4:]:
        thing._machine = there
    world.machine = there


def job(machine: Machine, command: str, **arguments: object) -> None:
    """Run a QMP job to its end, which must be a good one."""

    def ended() -> bool:
        (job,) = machine.qmp("query-jobs")
        assert "error" not in job, job
        return bool(job["status"] == "concluded")

    machine.qmp(command, **{"job-id": "job", **arguments})
    machine.until(f"the end of {command}", ended)
    machine.qmp("job-dismiss", id="job")


def add_disk(machine: Machine, image: Path) -> None:
    """A qcow2 disk that snapshots go to; made if it is not there."""
    new = not image.exists()
    if new:
        job(machine, "blockdev-create", options={"driver": "file", "filename": str(image), "size": 0})
    machine.qmp("blockdev-add", **{"driver": "file", "node-name": "file", "filename": str(image)})
    if new:
        job(machine, "blockdev-create", options={"driver": "qcow2", "file": "file", "size": 1 << 20})
    machine.qmp("blockdev-add", **{"driver": "qcow2", "node-name": "disk", "file": "file"})


def journal(world: World) -> list[Record]:
    found = world.machine.qmp("qom-get", path="/machine/smmuv3", property="journal")
    records: list[Record] = found["records"]
    return records


def test_stalled_access_moves_and_is_resumed_there(start: MachineMaker, tmp_path: Path) -> None:
    world = World.build(start())
    events = [world.stall(Do.READ, VA + n * PAGE, engine=n) for n in range(3)]
    move(world, start, tmp_path)
    assert world.stats()["stalls-outstanding"] == 3
    for n in (1, 0):
        world.poke(DATA + n * PAGE, 0x40 + n)
        world.map(VA + n * PAGE, DATA + n * PAGE)
        assert world.finish(events[n], engine=n) == St.DONE
        assert world.dev.engines[n].data == 0x40 + n
        assert (world.dev.engines[n].stalls, world.dev.engines[n].get(0x2C)) == (1, 1)
    world.smmu.resume(events[2], retry=False, abort=True)
    assert world.dev.engines[2].wait() == FAILED
    assert world.stats()["stalls-outstanding"] == 0


def test_new_stalls_there_have_stags_of_their_own(start: MachineMaker, tmp_path: Path) -> None:
    world = World.build(start())
    event = world.stall(Do.READ)
    move(world, start, tmp_path)
    assert world.stall(Do.READ, VA + PAGE, engine=1).stag != event.stag


def test_device_that_gives_up_there_takes_its_stall_along(start: MachineMaker, tmp_path: Path) -> None:
    world = World.build(start())
    world.stall(Do.READ)
    move(world, start, tmp_path)
    world.engine.put(0x38, 1)
    assert world.engine.wait() == FAILED
    stats = world.stats()
    assert (stats["stall-cancel"], stats["stalls-outstanding"]) == (1, 0)


def test_smmuen_0_there_terminates_what_was_stalled_here(start: MachineMaker, tmp_path: Path) -> None:
    """6.3.9.6."""
    world = World.build(start())
    world.stall(Do.READ)
    move(world, start, tmp_path)
    world.smmu.write(CR0, EVENTQEN | CMDQEN)
    assert world.engine.wait() == FAILED


def test_stall_without_record_is_issued_again_there(start: MachineMaker, tmp_path: Path) -> None:
    """7.2.1."""
    world = World.build(start())
    world.smmu.write(CR0, SMMUEN | CMDQEN)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    move(world, start, tmp_path)
    world.smmu.write(CR0, SMMUEN | CMDQEN | EVENTQEN)
    world.engine.wait_stalls(2)
    event = world.smmu.pop_event()
    world.map()
    assert world.finish(event) == St.DONE


def test_retry_that_is_due_is_made_there(start: MachineMaker, tmp_path: Path) -> None:
    world = World.build(start())
    world.engine.put(RETRY_NS, 1_000_000)
    event = world.stall(Do.READ)
    world.map()
    world.smmu.resume(event)
    assert world.engine.busy
    move(world, start, tmp_path)
    assert world.engine.busy
    world.machine.qtest.clock_step(2_000_000)
    assert world.engine.wait() == St.DONE


def test_loop_is_not_healed_by_being_moved(start: MachineMaker, tmp_path: Path) -> None:
    """Nor are entries of any other kind."""
    world = World.build(start())
    world.map(attributes=RO)
    world.map(VA + PAGE, DATA + PAGE)
    assert world.read(length=2 * PAGE) == St.DONE
    event = world.stall(Do.WRITE)
    world.map(attributes=RW)
    world.table.unmap(VA + PAGE)
    before = audit(world.machine)
    assert [difference.kind for difference in before] == ["restrictive", "unmapped"]
    move(world, start, tmp_path)
    assert audit(world.machine) == before
    event = world.retry(event)
    assert event.type == Ev.F_PERMISSION
    assert world.dev.probe(VA + PAGE, SSID).cached
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.finish(event) == St.DONE


def test_entries_of_each_form_move(start: MachineMaker, tmp_path: Path) -> None:
    """Blocks, contiguous runs, global entries, another ASID; and the order in which they are evicted."""
    smmu: Options = {**SVA, "contiguous": True, "iotlb-size": 4}
    world = World.build(start(smmu=smmu))
    block = VA + (1 << 30)
    world.map(block, DATA, RW, level=2)
    for n in range(16):
        world.map(VA + n * PAGE, DATA + n * PAGE, RW | CONTIGUOUS)
    glob = VA + (1 << 21)
    world.map(glob, DATA, RW & ~NOT_GLOBAL)
    world.other.map(VA, DATA)
    assert world.read(block) == world.read(VA) == world.read(glob) == world.read(VA, OTHER) == St.DONE
    where = [(block, SSID), (VA + 5 * PAGE, SSID), (glob, SSID), (VA, OTHER)]
    before = [world.dev.probe(*place) for place in where]
    assert all(probe.cached for probe in before)
    move(world, start, tmp_path, smmu)
    assert [world.dev.probe(*place) for place in where] == before
    world.map(VA + (2 << 21), DATA)
    assert world.read(VA + (2 << 21)) == St.DONE
    assert [world.dev.probe(*place).cached for place in where] == [False, True, True, True]
    world.smmu.tlbi_nh_va_range(ASID, VA, G4K.ril_tg, num=15, ttl=3)
    assert [world.dev.probe(*place).cached for place in where] == [False, False, True, True]


def test_journal_and_counters_go_on_there(start: MachineMaker, tmp_path: Path) -> None:
    world = World.build(start())
    world.smmu.resume(world.stall(Do.READ), retry=False)
    world.engine.wait()
    world.smmu.tlbi_nh_asid(ASID)
    before, counted = journal(world), world.stats()
    move(world, start, tmp_path)
    assert journal(world) == before
    assert world.stats() == counted
    world.smmu.tlbi_nh_asid(ASID + 1)
    assert journal(world)[-1]["sequence"] == before[-1]["sequence"] + 1


def test_command_goes_on_there(start: MachineMaker, tmp_path: Path) -> None:
    """A device behind a machine that stops in the midst of a command."""
    world = World.build(start())
    world.map(VA, DATA, RW, level=2)
    world.map(VA + (2 << 20), DATA + (2 << 20), RW, level=2)
    world.machine.qmp("stop")
    world.engine.start(Do.WRITE, VA, SSID, 4 << 20, data=0x60)
    assert [world.engine.get(BYTES_DONE) for _ in range(5)] == [0] * 5, "a stopped machine makes no access"
    move(world, start, tmp_path)
    world.machine.qmp("cont")
    assert world.engine.wait() == St.DONE
    assert world.peek(DATA + (4 << 20) - 8) == 0x60


def test_cached_configuration_moves(start: MachineMaker, tmp_path: Path) -> None:
    """3.21.3: until a CMD_CFGI names it."""
    world = World.build(start())
    world.map()
    assert world.read() == St.DONE
    world.set_cd(SSID, world.context().but(valid=False))
    move(world, start, tmp_path)
    assert world.read() == St.DONE
    world.smmu.tlbi_nsnh_all()
    assert world.read() == St.DONE, "the walk is the same"
    world.smmu.cfgi_cd(world.dev.sid, SSID)
    world.config_error()


def test_default_properties_migrate_what_stock_qemu_does(start: MachineMaker, tmp_path: Path) -> None:
    """No more: the IOTLB is empty there."""
    world = World.build(start(smmu={}))
    world.kernel.map(VA, DATA)
    world.set_ste(s1cdmax=0)
    assert world.engine.run(Do.READ, VA, 0xFFFF_FFFF) == St.DONE
    assert world.stats()["iotlb-entries"] == 1
    move(world, start, tmp_path, {})
    assert world.stats()["iotlb-entries"] == 0
    assert world.engine.run(Do.READ, VA, 0xFFFF_FFFF) == St.DONE


def test_snapshot_in_an_image_holds_a_stall_and_a_loop(start: MachineMaker, tmp_path: Path) -> None:
    """savevm and loadvm: in the machine that went on meanwhile, and in a new one."""
    snapshot = {"tag": "loop", "vmstate": "disk", "devices": ["disk"]}
    world = World.build(start())
    add_disk(world.machine, tmp_path / "disk.qcow2")
    world.map(attributes=RO)
    assert world.read() == St.DONE
    event = world.stall(Do.WRITE)
    world.map()
    job(world.machine, "snapshot-save", **snapshot)
    indexes = world.smmu._prod, world.smmu._cons
    world.smmu.tlbi_nh_va(ASID, VA)
    assert world.finish(event) == St.DONE
    for where in ("here", "there"):
        if where == "there":
            for node in ("disk", "file"):
                world.machine.qmp("blockdev-del", **{"node-name": node})
            machine = start()
            add_disk(machine, tmp_path / "disk.qcow2")
            continue_on(world, machine)
        world.machine.qmp("stop")
        job(world.machine, "snapshot-load", **snapshot)
        world.machine.qmp("cont")
        world.smmu._prod, world.smmu._cons = indexes
        assert world.stats()["stalls-outstanding"] == 1
        assert [difference.kind for difference in audit(world.machine)] == ["restrictive"]
        again = world.retry(event)
        assert again.type == Ev.F_PERMISSION
        world.smmu.tlbi_nh_va(ASID, VA)
        assert world.finish(again) == St.DONE
