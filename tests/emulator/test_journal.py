# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal: what happened, in order, with everything that tells whose it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import MachineMaker
from .cpu import Cpu, kernel, tlbi
from .layout import DATA
from .pagetable import G4K
from .smmu import CMDQEN, CR0, EVENTQEN
from .testdev import FAILED, Do, St
from .world import ASID, PAGE, SSID, SVA, VA, World

Record = dict[str, Any]


def journal(world: World) -> tuple[int, list[Record]]:
    """How many records were lost, and the others."""
    found = world.machine.qmp("qom-get", path="/machine/smmuv3", property="journal")
    return found["lost"], found["records"]


def since(world: World, sequence: int = 0) -> list[Record]:
    return [record for record in journal(world)[1] if record["sequence"] >= sequence]


def kinds(world: World) -> list[str]:
    return [record["kind"] for record in since(world)]


def who(world: World) -> Record:
    return {"stream": world.dev.sid, "substream": SSID, "asid": ASID, "vmid": 0}


def test_stall_and_its_resume_tell_the_same_access(world: World) -> None:
    event = world.stall(Do.READ, VA + 0x128)
    world.smmu.resume(event, retry=False, abort=True)
    assert world.engine.wait() == FAILED
    stall, abort = since(world)
    common = {**who(world), "stag": event.stag, "address": VA + 0x128}
    assert stall == {**common, "sequence": 0, "time": stall["time"], "kind": "stall", "what": "f-translation"}
    assert abort == {**common, "sequence": 1, "time": abort["time"], "kind": "abort"}


def test_each_end_of_a_stall_has_its_kind(world: World) -> None:
    def stall() -> None:
        world.stall(Do.READ)

    world.smmu.resume(world.retry(world.stall(Do.READ)), retry=False)
    world.engine.wait()
    stall()
    world.smmu.stall_term(world.dev.sid)
    world.engine.wait()
    stall()
    world.engine.put(0x38, 1)
    stall()
    world.smmu.write(CR0, EVENTQEN | CMDQEN)
    assert kinds(world) == [
        *("stall", "retry", "stall", "terminate"),
        *("stall", "stall-term"),
        *("stall", "cancel"),
        *("stall", "disable"),
    ]


def test_resume_of_nothing_is_told(world: World) -> None:
    world.smmu.resume_raw(world.dev.sid, 77)
    (record,) = since(world)
    assert (record["kind"], record["stream"], record["stag"]) == ("resume-nomatch", world.dev.sid, 77)


def test_stall_without_record_has_no_stag_and_is_issued_again(world: World) -> None:
    """7.2.1."""
    world.smmu.write(CR0, 1 | CMDQEN)
    world.engine.start(Do.READ, VA, SSID)
    world.engine.wait_stalls(1)
    world.smmu.write(CR0, 1 | CMDQEN | EVENTQEN)
    world.engine.wait_stalls(2)
    stall, reissue, again = since(world)
    assert [r["kind"] for r in (stall, reissue, again)] == ["stall", "reissue", "stall"]
    assert "stag" not in stall
    assert "stag" not in reissue
    assert "stag" in again


@pytest.mark.parametrize("recorded", [True, False])
def test_terminated_access_is_told_even_if_its_event_is_not(world: World, recorded: bool) -> None:
    """5.5: CD.R."""
    world.set_cd(SSID, world.context().but(s=False, r=recorded))
    assert world.read() == FAILED
    (record,) = since(world)
    assert record["kind"] == "fault"
    assert record.get("what") == ("f-translation" if recorded else None)
    assert {name: record[name] for name in who(world)} == who(world)


def test_configuration_error_has_no_asid(world: World) -> None:
    world.set_cd(SSID, world.context().but(valid=False))
    world.config_error()
    (record,) = since(world)
    assert (record["kind"], record["what"], record["substream"]) == ("fault", "c-bad-cd", SSID)


def test_invalidations_are_told_with_what_they_name(world: World) -> None:
    world.smmu.tlbi_nh_va(ASID, VA, vmid=3)
    world.smmu.tlbi_nh_va_range(ASID, VA, G4K.ril_tg, num=2, scale=1)
    world.smmu.tlbi_nh_asid(ASID)
    world.smmu.tlbi_nh_vaa(VA)
    world.smmu.tlbi_nsnh_all()
    world.smmu.cfgi_cd(world.dev.sid, SSID)
    world.smmu.cfgi_ste(world.dev.sid)
    world.smmu.sync()
    by_va, by_range, by_asid, by_vaa, everything, cd, ste = since(world)
    assert (by_va["what"], by_va["asid"], by_va["vmid"], by_va["address"]) == ("tlbi-nh-va", ASID, 3, VA)
    assert (by_range["address"], by_range["size"]) == (VA, 6 * PAGE)
    assert (by_asid["what"], by_asid["asid"]) == ("tlbi-nh-asid", ASID)
    assert (by_vaa["what"], "asid" in by_vaa) == ("tlbi-nh-vaa", False)
    assert (everything["what"], "vmid" in everything) == ("tlbi-nsnh-all", False)
    assert (cd["what"], cd["stream"], cd["substream"]) == ("cfgi-cd", world.dev.sid, SSID)
    assert (ste["what"], ste["stream"]) == ("cfgi-ste", world.dev.sid)
    assert {record["kind"] for record in since(world)} == {"command"}


def test_broadcast_is_told(start: MachineMaker, tmp_path: Path) -> None:
    world = World.build(start(smmu={**SVA, "btm": "on"}, kernel=kernel(tmp_path)))
    Cpu(world.machine).run(tlbi(0, 3, 1), x2=ASID << 48 | VA >> 12)
    record = since(world)[-1]
    assert (record["kind"], record["asid"]) == ("broadcast", ASID)
    assert record["address"] & (1 << 48) - 1 == VA


def test_evictions_are_told_with_what_is_lost(start: MachineMaker) -> None:
    world = World.build(start(smmu={**SVA, "iotlb-size": 1}))
    for n in range(2):
        world.map(VA + n * PAGE, DATA + n * PAGE)
        assert world.read(VA + n * PAGE) == St.DONE
    (record,) = since(world)
    assert (record["kind"], record["address"], record["size"]) == ("eviction", VA, PAGE)
    assert {name: record[name] for name in who(world)} == who(world)


def test_full_flush_is_told(world: World) -> None:
    for n in range(257):
        world.map(VA + n * PAGE, DATA + n * PAGE)
    assert world.read(length=257 * PAGE) == St.DONE
    assert kinds(world) == ["full-flush"]


def test_time_is_virtual(world: World) -> None:
    world.smmu.tlbi_nsnh_all()
    world.machine.qtest.clock_step(12345)
    world.smmu.tlbi_nsnh_all()
    first, second = since(world)
    assert second["time"] - first["time"] == 12345


def test_oldest_records_are_lost_and_counted(start: MachineMaker) -> None:
    world = World.build(start(smmu={**SVA, "journal-size": 4}))
    for asid in range(10):
        world.smmu.tlbi_nh_asid(asid)
    lost, records = journal(world)
    assert lost == 6
    assert [(record["sequence"], record["asid"]) for record in records] == [(6, 6), (7, 7), (8, 8), (9, 9)]


def test_size_0_keeps_nothing(start: MachineMaker) -> None:
    world = World.build(start(smmu={**SVA, "journal-size": 0}))
    world.smmu.tlbi_nsnh_all()
    assert journal(world) == (0, [])
