# SPDX-License-Identifier: GPL-2.0-or-later
"""The stall model (IHI 0070 3.12.2, 4.7.1, 4.7.2, 5.5, 6.3.9.6, 7.2.1)."""

from __future__ import annotations

import pytest

from .conftest import MachineMaker
from .layout import DATA
from .pagetable import RO
from .smmu import (
    CERROR_ILL,
    CMDQEN,
    CR0,
    EVENTQEN,
    GERROR,
    GERROR_CMDQ_ERR,
    SMMUEN,
    Ev,
)
from .testdev import FAILED, Do, St, TestDevice
from .testdev import RESUMES as RESUMES_REGISTER
from .testdev import STALLS as STALLS_REGISTER
from .world import ASID, OTHER, PAGE, SSID, VA, World

NO_EVENTQ = SMMUEN | CMDQEN
ALL_ON = SMMUEN | EVENTQEN | CMDQEN


@pytest.mark.parametrize(("do", "rnw"), [(Do.READ, True), (Do.WRITE, False), (Do.FETCH_ADD, False)])
def test_event_of_a_stall_says_who_and_what(world: World, do: Do, rnw: bool) -> None:
    """7.3.13. Linux resolves an RnW=1 fault with a read: a read-modify-write told so would come back for ever."""
    event = world.stall(do, VA + 0x128)
    assert event.type == Ev.F_TRANSLATION
    assert (event.sid, event.ssv, event.ssid) == (world.dev.sid, True, SSID)
    assert (event.stall, event.rnw, event.pnu, event.ind, event.s2) == (True, rnw, False, False, False)
    assert (event.addr, event.cls) == (VA + 0x128, 2)


def test_stalled_write_changes_nothing_until_it_is_retried(world: World) -> None:
    world.poke(DATA, 0x1111)
    event = world.stall(Do.WRITE, data=0x1234)
    world.map()
    assert world.engine.busy
    assert world.peek(DATA) == 0x1111
    assert world.finish(event) == St.DONE
    assert world.peek(DATA) == 0x1234
    assert (world.engine.stalls, world.engine.get(0x2C)) == (1, 1)


def test_retry_that_faults_again_stalls_again_with_a_new_record(world: World) -> None:
    event = world.stall(Do.READ)
    again = world.retry(event)
    assert again.stall
    assert again.stag != event.stag


def test_retry_uses_the_configuration_of_then(world: World) -> None:
    """3.12.2: as though it had just arrived; here with a CD that does not stall."""
    event = world.stall(Do.READ)
    world.set_cd(SSID, world.context().but(s=False))
    world.smmu.cfgi_cd(world.dev.sid, SSID)
    assert world.finish(event) == FAILED
    assert not world.smmu.pop_event().stall


@pytest.mark.parametrize("abort", [False, True], ids=["Ab=0", "Ab=1"])
def test_terminate_aborts_whatever_ab_says(world: World, abort: bool) -> None:
    """4.7.1 with IDR0.TERM_MODEL == 1. Counted apart, all the same."""
    event = world.stall(Do.READ)
    world.map()
    before = world.stats()
    world.smmu.resume(event, retry=False, abort=abort)
    assert world.engine.wait() == FAILED
    after = world.stats()
    assert after["resume-abort"] - before["resume-abort"] == abort
    assert after["resume-term"] - before["resume-term"] == (not abort)
    assert after["stalls-outstanding"] == 0


def test_resume_of_another_stream_has_no_effect(world: World) -> None:
    """4.7.1: the StreamID must match, or a guest could resume what is another's."""
    event = world.stall(Do.READ)
    world.smmu.resume_raw(event.sid + 1, event.stag)
    stats = world.stats()
    assert (stats["stalls-outstanding"], stats["resume-nomatch"]) == (1, 1)
    assert world.engine.busy
    world.map()
    assert world.finish(event) == St.DONE


def test_resume_of_another_stag_has_no_effect(world: World) -> None:
    event = world.stall(Do.READ)
    world.smmu.resume_raw(event.sid, event.stag + 1)
    assert world.stats()["stalls-outstanding"] == 1


def test_resume_of_a_stag_that_was_resumed_has_no_effect(world: World) -> None:
    event = world.stall(Do.READ)
    world.retry(event)
    world.smmu.resume(event)
    stats = world.stats()
    assert (stats["stalls-outstanding"], stats["resume-nomatch"]) == (1, 1)


def test_several_stalls_are_resumed_in_any_order(world: World) -> None:
    events = [world.stall(Do.READ, VA + n * PAGE, engine=n) for n in range(4)]
    assert len({event.stag for event in events}) == 4
    for n in (2, 0, 3, 1):
        world.poke(DATA + n * PAGE, n)
        world.map(VA + n * PAGE, DATA + n * PAGE)
        assert world.finish(events[n], engine=n) == St.DONE
        assert world.dev.engines[n].data == n
    assert world.stats()["stalls-outstanding"] == 0


def test_other_accesses_pass_a_stalled_one(world: World) -> None:
    world.map(VA + PAGE)
    world.stall(Do.READ, engine=1)
    assert world.read(VA + PAGE) == St.DONE


def test_cd_without_s_terminates(world: World) -> None:
    """5.5."""
    world.set_cd(SSID, world.context().but(s=False))
    event = world.fault(Do.READ, VA, SSID)
    assert (event.type, event.stall, event.ssv, event.ssid) == (Ev.F_TRANSLATION, False, True, SSID)
    assert world.stats()["stalls"] == 0


def test_cd_without_s_and_r_terminates_silently(world: World) -> None:
    """5.5: R == 0."""
    world.set_cd(SSID, world.context().but(s=False, r=False))
    assert world.read() == FAILED
    assert world.smmu.event_count == 0
    assert world.stats()["events-lost"] == 0


def test_stall_is_recorded_whatever_r_says(world: World) -> None:
    """5.5: R is ignored if S == 1."""
    world.set_cd(SSID, world.context().but(r=False))
    assert world.stall(Do.READ).stall


def test_cd_without_a_is_c_bad_cd(world: World) -> None:
    """5.5 with IDR0.TERM_MODEL == 1."""
    world.set_cd(SSID, world.context().but(a=False))
    world.config_error()


def test_s1stalld_makes_a_stalling_cd_illegal(world: World) -> None:
    """5.5."""
    world.map()
    world.set_ste(s1stalld=True)
    world.config_error()
    world.set_cd(SSID, world.context().but(s=False))
    assert world.read() == St.DONE


def test_without_the_stall_model_s_is_illegal(start: MachineMaker) -> None:
    """5.5 with IDR0.STALL_MODEL == 0b01."""
    world = World.build(start(smmu={"ssidsize": 16}))
    world.map()
    world.config_error()
    world.set_cd(SSID, world.context().but(s=False))
    assert world.read() == St.DONE


def test_without_the_stall_model_s1stalld_is_illegal(start: MachineMaker) -> None:
    """5.5: C_BAD_STE."""
    world = World.build(start(smmu={"ssidsize": 16}))
    world.set_ste(s1stalld=True)
    world.config_error(SSID, Ev.C_BAD_STE)


@pytest.mark.parametrize("opcode", [0x44, 0x45], ids=["RESUME", "STALL_TERM"])
def test_without_the_stall_model_its_commands_are_illegal(start: MachineMaker, opcode: int) -> None:
    """4.7.1, 4.7.2; 7.1: consumption stops at the command."""
    world = World.build(start(smmu={"ssidsize": 16}))
    assert world.smmu.command(opcode | 16 << 32) == CERROR_ILL
    assert world.smmu.read(GERROR) & GERROR_CMDQ_ERR
    assert world.stats()["cmd-resume"] == world.stats()["cmd-stall-term"] == 0


@pytest.mark.parametrize("opcode", [0x44, 0x45], ids=["RESUME", "STALL_TERM"])
def test_secure_commands_are_illegal(world: World, opcode: int) -> None:
    """4.1.6: SSec on the Non-secure queue."""
    assert world.smmu.command(opcode | 1 << 10 | 16 << 32) == CERROR_ILL


def test_configuration_errors_never_stall(world: World) -> None:
    """3.12: not one of the four faults that may."""
    world.set_cd(SSID, world.context().but(valid=False))
    assert not world.config_error().stall
    assert world.stats()["stalls"] == 0


def test_stall_term_ends_the_stalls_of_its_stream_only(start: MachineMaker) -> None:
    """4.7.2."""
    machine = start(devices=[{"addr": "2.0"}, {"addr": "3.0"}])
    world = World.build(machine)
    second = TestDevice(machine, 3)
    world.smmu.set_ste(second.sid, s1cdmax=6)
    for n in range(2):
        world.stall(Do.READ, VA + n * PAGE, engine=n)
    second.engines[0].start(Do.READ, VA, SSID)
    second.engines[0].wait_stalls(1)
    event = world.smmu.pop_event()
    assert event.sid == second.sid
    world.smmu.stall_term(world.dev.sid)
    assert [world.dev.engines[n].wait() for n in range(2)] == [FAILED, FAILED]
    stats = world.stats()
    assert (stats["stall-term"], stats["stalls-outstanding"]) == (2, 1)
    assert second.engines[0].busy
    world.map()
    world.smmu.resume(event)
    assert second.engines[0].wait() == St.DONE


def test_smmuen_0_terminates_stalls(world: World) -> None:
    """6.3.9.6; their STAGs mean nothing afterwards."""
    event = world.stall(Do.READ)
    world.smmu.write(CR0, EVENTQEN | CMDQEN)
    assert world.engine.wait() == FAILED
    stats = world.stats()
    assert (stats["stall-disable"], stats["stalls-outstanding"]) == (1, 0)
    world.smmu.write(CR0, ALL_ON)
    world.smmu.resume(event)
    assert world.stats()["resume-nomatch"] == 1


def test_reset_with_a_stall_outstanding(world: World) -> None:
    world.stall(Do.READ)
    world.machine.qmp("system_reset")
    world.machine.until("the reset", lambda: world.smmu.read(CR0) == 0)
    assert world.stats()["stalls-outstanding"] == 0
    world.dev.configure()
    assert world.engine.status == St(0)
    again = World.build(world.machine)
    again.map()
    assert again.read() == St.DONE


def test_device_that_gives_up_takes_its_stall_along(world: World) -> None:
    event = world.stall(Do.READ)
    world.engine.put(0x38, 1)
    assert world.engine.status == FAILED
    stats = world.stats()
    assert (stats["stall-cancel"], stats["stalls-outstanding"]) == (1, 0)
    world.smmu.resume(event)
    assert world.stats()["resume-nomatch"] == 1


def test_stall_counters_of_device_and_smmu_agree(world: World) -> None:
    event = world.stall(Do.READ)
    for _ in range(3):
        event = world.retry(event)
    world.smmu.resume(event, retry=False, abort=True)
    assert world.engine.wait() == FAILED
    stats = world.stats()
    assert (stats["stalls"], stats["resume-retry"], stats["cmd-resume"]) == (4, 3, 4)
    assert stats["events"] == stats["event-f-translation"] == 4
    assert world.dev.get64(STALLS_REGISTER) == 4
    assert world.dev.get64(RESUMES_REGISTER) == 4


def test_two_substreams_loop_and_heal_apart(world: World) -> None:
    """The whole cure of one address space, beside another that stays stale."""
    for table in (world.table, world.other):
        table.map(VA, DATA, RO)
    assert world.read(ssid=SSID) == world.read(ssid=OTHER) == St.DONE
    events = [world.stall(Do.WRITE, ssid=ssid, engine=n) for n, ssid in enumerate((SSID, OTHER))]
    for table in (world.table, world.other):
        table.map(VA, DATA)
    world.smmu.tlbi_nh_asid(ASID)
    assert world.finish(events[0], engine=0) == St.DONE
    assert world.retry(events[1], engine=1).type == Ev.F_PERMISSION
