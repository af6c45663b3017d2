# SPDX-License-Identifier: GPL-2.0-or-later
"""What a command in the sandbox may use, and that it is stopped when it wants more: with the real bubblewrap."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.build import cgroup, watch
from harness.build.cache import Cache
from harness.build.limits import LimitExceeded, Limits, of_environment, told
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.errors import InfrastructureError, UserError

MIB = 1 << 20
SMALL = Limits(seconds=20, disk=64 * MIB, files=2000, memory=256 * MIB, processes=60, output=MIB)
BOMB = "perl -e 'fork for 1..10; sleep 20'"
"""A thousand processes and no more: a host on which the protection is broken must survive its test."""


def stopped(script: str, folder: Path, limits: Limits = SMALL) -> str:
    """What a script is stopped for."""
    with pytest.raises(InfrastructureError) as caught:
        Sandbox(limits=limits).run(["sh", "-c", script], binds=[Bind(folder, "/b", writable=True)], cwd="/b")
    assert isinstance(caught.value, LimitExceeded) == ("FAULTLOOP_LIMITS" in caught.value.message)
    return caught.value.message


def test_a_build_without_end_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    says = stopped("while :; do :; done", tmp_path, replace(SMALL, seconds=0.5))
    assert "not done after 0.5 s, and was stopped (FAULTLOOP_LIMITS=hours=... allows more)" in says
    assert time.monotonic() - began < 30


def test_one_large_file(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed):
        Sandbox(limits=SMALL).run(
            ["dd", "if=/dev/zero", "of=/b/x", "bs=1M", "count=80"], binds=[Bind(tmp_path, "/b", writable=True)]
        )
    assert (tmp_path / "x").stat().st_size == SMALL.disk


def test_many_files_that_fill_the_disk(tmp_path: Path) -> None:
    fill = "mkdir deep; for i in $(seq 40); do head -c 8M /dev/urandom >deep/$i; sync; done; sleep 20"
    assert "wrote more than 0.1 GiB, and was stopped (FAULTLOOP_LIMITS=disk=..." in stopped(fill, tmp_path)
    assert watch.measure(tmp_path)[0] < 600 * MIB


def test_many_empty_files(tmp_path: Path) -> None:
    fill = "mkdir d; cd d; seq 9000 | xargs touch; sleep 20"
    assert "wrote more than 2000 files" in stopped(fill, tmp_path)


def test_files_of_holes_count_as_what_whoever_reads_them_reads(tmp_path: Path) -> None:
    says = stopped("for i in 1 2 3; do truncate -s 40M $i; done", tmp_path)
    assert "wrote more than 0.1 GiB" in says


def test_folders_in_folders_without_end(tmp_path: Path) -> None:
    """Python follows a thousand, and a path has 4096 bytes: what removes and reads them would fail for good."""
    cache = Cache(tmp_path / "cache")

    def deep(folder: Path) -> None:
        stopped("perl -e 'for (1..3000) { mkdir q(d); chdir q(d) }'", folder)
        raise InfrastructureError("it was stopped")

    with pytest.raises(InfrastructureError, match="it was stopped"):
        cache.make("kernels", "k", deep)
    assert not list((tmp_path / "cache" / "kernels").iterdir())


def test_a_disk_that_others_fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_DISK_RESERVE", 0)
    found = os.statvfs(tmp_path)
    box = Sandbox(limits=SMALL)
    with pytest.raises(InfrastructureError, match=r"only .* MiB of the disk were left while it ran"):
        box.run(
            ["sh", "-c", "echo; sleep 20"],
            binds=[Bind(tmp_path, "/b", writable=True)],
            on_output=lambda line: monkeypatch.setattr(watch, "_DISK_RESERVE", found.f_blocks * found.f_frsize),
        )


def test_what_is_not_a_folder_of_ours_is_bounded_too() -> None:
    """The file systems in memory that bubblewrap makes for / and /dev have no bound of their own."""
    lines: list[str] = []
    script = "for d in / /dev /dev/shm /proc /tmp; do touch $d/x 2>/dev/null && df -k --output=size $d; done; :"
    Sandbox(tmp_mib=8).run(["sh", "-c", script], on_output=lines.append)
    assert [int(line) for line in lines if "1K" not in line] == [65536, 8192]  # /dev/shm and /tmp


def test_memory_of_one_process(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        Sandbox(limits=SMALL).run(["/usr/bin/perl", "-e", '$x = "x" x 400_000_000; print "got it\\n"'])
    assert "Out of memory" in caught.value.detail and "got it" not in caught.value.detail


def test_memory_of_many_processes(tmp_path: Path) -> None:
    each = "/usr/bin/perl -e '$x = \"x\" x 60_000_000; sleep 20'"
    says = stopped(f"for i in 1 2 3 4 5 6; do {each} & done; wait", tmp_path)
    assert "used more than 0.2 GiB of memory" in says or "used more than 256 MiB of memory" in says


def test_the_build_is_what_dies_when_the_host_has_no_memory(tmp_path: Path) -> None:
    lines: list[str] = []
    Sandbox().run(["cat", "/proc/self/oom_score_adj"], on_output=lines.append)
    assert lines == ["1000"]


def test_a_host_short_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_MEMORY_RESERVE", 1 << 60)
    assert "MiB of memory left while it ran, and was stopped" in stopped("sleep 20", tmp_path)


def test_forking_without_end(tmp_path: Path) -> None:
    began = time.monotonic()
    says = stopped(BOMB, tmp_path)
    assert re.search(r"started (more than 60|75) processes, and was stopped \(FAULTLOOP_LIMITS=processes=", says)
    assert time.monotonic() - began < 30


def test_forking_without_end_is_bounded_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by us who look at it now and then: what is refused is refused at once."""
    if os.geteuid() == 0 and not cgroup.places():
        pytest.skip("root is free of RLIMIT_NPROC, and no control group can be made here")
    monkeypatch.setattr(watch, "_members", lambda namespace: ())
    count = "sleep 9 & n=0; while sleep 9 & [ $n -lt 400 ]; do n=$((n+1)); done 2>/dev/null; echo $n"
    lines: list[str] = []
    with pytest.raises((CommandFailed, LimitExceeded)):
        Sandbox(limits=SMALL).run(["sh", "-c", count], on_output=lines.append)
    assert "400" not in lines


def test_output_without_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for flood in ("yes", "yes ''", "cat /dev/zero"):
        lines: list[str] = []
        with pytest.raises(LimitExceeded, match="printed more than 1 MiB"):
            Sandbox(limits=SMALL).run(["sh", "-c", flood], log=log, on_output=lines.append)
        # Each takes memory of whoever keeps it; some come between the breach and the end.
        assert len(lines) < 100_000
    assert log.stat().st_size < 20 * MIB  # a byte that cannot be shown takes three


def test_nothing_is_left_of_groups_and_processes(tmp_path: Path) -> None:
    before = {str(p) for place in cgroup.places() for p in place.folder.glob("faultloop-*")}
    stopped(f"(setsid {BOMB} &) ; sleep 20", tmp_path)
    assert {str(p) for place in cgroup.places() for p in place.folder.glob("faultloop-*")} <= before
    assert "/b/" not in "".join(p.read_text() for p in Path("/proc").glob("[0-9]*/cmdline") if _mine(p))


def _mine(path: Path) -> bool:
    try:
        return "faultloop" in path.with_name("cgroup").read_text()
    except OSError:
        return False


def test_a_watch_that_fails_does_not_leave_the_build_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(watch, "available_memory", lambda: 1 // 0)
    assert "could not be watched any more" in stopped("sleep 20", tmp_path)


def test_set_user_id_is_taken_away(tmp_path: Path) -> None:
    script = "mkdir d; cp /bin/sh d/sh; cp /bin/sh d/ok; chmod 6755 d/sh; ln -s sh d/link"
    Sandbox().run(["sh", "-c", script], binds=[Bind(tmp_path, "/b", writable=True)], cwd="/b")
    assert [oct((tmp_path / "d" / name).stat().st_mode & 0o7777) for name in ("sh", "ok")] == ["0o755", "0o755"]


def test_limits_of_the_environment() -> None:
    assert of_environment("").seconds == 3 * 3600
    changed = of_environment("hours=0.5,disk=2 processes=99")
    assert (changed.seconds, changed.disk, changed.processes) == (1800, 2 << 30, 99)
    assert told(changed).startswith("0.5 h, 2.0 GiB and 1000000 files written, ")
    for wrong in ("hours", "hours=x", "hours=0", "hours=nan", "days=1", "disk=-1"):
        with pytest.raises(UserError, match="is no limit; give NAME=NUMBER of hours, disk"):
            of_environment(wrong)
