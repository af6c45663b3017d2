# SPDX-License-Identifier: GPL-2.0-or-later
"""The mail of a night, its budget, its lock, and which patches are its teeth."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import (
    BuildError,
    DriverError,
    InfrastructureError,
    KernelConfigError,
    PatchedDriverError,
    UserError,
)
from harness.jobs import night_guests, nightly, teeth
from harness.jobs.catalogue import load
from harness.jobs.guests import GuestJob
from harness.jobs.night_tree import nearest, of_nearest, stage_of
from harness.jobs.nightly import Budget
from harness.layout import project
from harness.model import GuestRecord, Outcome, Series, Setup, Splat
from harness.nights import BOOT, BUILD, DRIVER, LOG, Finding, Kind, Night, Teeth
from harness.past import Stage
from harness.report import nightly as report
from harness.sources import catalogue
from harness.swept import Cell
from tests.unit import runs

A57, A76 = Setup("cortex-a57", "cortex-a57"), Setup("cortex-a76", "cortex-a76", hw_dirty=True)
WORKLOADS = catalogue.workloads(project().workloads)


def finding(path: str, kind: Kind, outcome: str = "LOOP", setup: str = "cortex-a57", **more: str) -> Finding:
    return Finding(path, setup, kind, Outcome(outcome) if outcome else None, **more)  # type: ignore[arg-type]


def night(*findings: Finding, status: int = 0, **more: object) -> Night:
    made = Night(
        tree="https://example.org/linux-next.git",
        branch="",
        ref="next-20260102",
        commit="ab" * 20,
        version="7.3.0-rc1-next-20260102",
        started="2026-01-02T08:00:00+00:00",
        seconds=1234.0,
        status=status,
        findings=findings,
        teeth=Teeth("7.3-remove-notification", (("anon-reuse", "cortex-a57"),)),
        faults=(),
        compared=4,
        last="next-20260101",
        fitting=5,
    )
    made = replace(made, **more)  # type: ignore[arg-type]
    return replace(made, summary=made.summary or report.sentence(made))


MIXED = (
    finding("anon-reuse", Kind.NEW, since="next-20260101", reason="50 stalls on one page", found="abc broke it"),
    finding("anon-reuse", Kind.NEW, "LOOP", "cortex-a76", since="next-20260101", reason="50 stalls on one page",
            found="abc broke it"),
    finding("gup-write", Kind.MENDED, "PASS", since="next-20251212"),
    finding("pfnmap-populate", Kind.STILL, since="next-20251201", reason="50 stalls"),
    finding("thp-reuse", Kind.FLAKY, reason="fails on 2 of 3 guests"),
    *(finding(path, Kind.NOT_RUN, "SKIP", reason="SKIP: no guard pages") for path in ("guard-page", "guard-file")),
    finding("munmap", Kind.GOOD, "PASS"),
    finding(BUILD, Kind.GOOD, "PASS"),
)  # fmt: skip


def test_a_mail_says_what_is_new_first_and_keeps_its_width() -> None:
    text = report.mail(
        night(*MIXED, status=1, drifted=("7.3-fix-x: would apply with 1 line of context: make it anew",))
    )
    lines = text.splitlines()
    assert lines[0] == "faultloop: next-20260102: 1 new, 1 mended, 1 still failing, 1 flaky, 2"
    assert lines[1] == ""
    assert lines[2] == "new failures: anon-reuse"
    assert max(map(len, lines)) < 72
    flat = " ".join(text.split())
    assert (
        "anon-reuse LOOP (cortex-a57, cortex-a76), good on next-20260101: 50 stalls on one page -- abc broke it"
        in flat
    )
    assert "gup-write PASS (cortex-a57), failed since next-20251212" in flat
    assert "pfnmap-populate LOOP (cortex-a57), since next-20251201: 50 stalls" in flat
    assert "guard-page, guard-file SKIP (cortex-a57): SKIP: no guard pages" in flat
    assert "teeth 7.3-remove-notification: 1 of 1 fail, as they must" in flat
    assert "patches 5 of 6 of the catalogue apply drifted 7.3-fix-x: would apply" in flat
    assert "against 4 nights, the last one next-20260101" in flat
    assert json.loads(report.dump(night(*MIXED, status=1)))["findings"][0]["kind"] == "new"


@pytest.mark.parametrize(
    ("findings", "status", "more", "subject", "words"),
    [
        ([finding("a", Kind.GOOD, "PASS")], 0, {}, "clean", "clean: 1 paths pass"),
        ([finding("a", Kind.STILL)], 0, {}, "1 still failing", "nothing new; 1 known failures: a"),
        ([finding(BUILD, Kind.NEW, "HANG")], 1, {}, "1 new", "new failures: the kernel does not build"),
        ([finding(BOOT, Kind.NEW, "HANG")], 1, {}, "1 new", "new failures: the kernel does not boot"),
        ([finding(LOG, Kind.NEW, "SPLAT")], 1, {}, "1 new", "new failures: the kernel complains at boot"),
        (
            [finding(DRIVER, Kind.NOT_RUN, "ERROR", reason="ERROR: x")],
            4,
            {},
            "HARNESS, 1 not run",
            "nothing is said of this kernel: the guest driver does not build: an interface of the kernel has",
        ),
        ([], 4, {}, "HARNESS, clean", "trouble of the harness or the host"),
        ([], 3, {"teeth": Teeth(why="x drifted"), "faults": ("no teeth: x drifted",)}, "INCONCLUSIVE",
         "inconclusive: no teeth: x drifted"),
        ([finding("a", Kind.FLAKY)], 3, {}, "INCONCLUSIVE, 1 flaky", "inconclusive: a flaky"),
    ],
)  # fmt: skip
def test_results_in_a_sentence(
    findings: list[Finding], status: int, more: dict[str, object], subject: str, words: str
) -> None:
    made = night(*findings, status=status, **more)
    assert subject in report.subject(made)
    assert words in made.summary
    assert max(map(len, report.mail(made).splitlines())) < 72


def test_a_tag_that_was_judged_before() -> None:
    text = report.mail(night(already="2026-01-02", summary="nothing newer than next-20260102", folder="/r/x"))
    assert text.splitlines()[0] == "faultloop: next-20260102: nothing new"
    assert "teeth" not in text


def test_what_is_hostile_is_shown_inert() -> None:
    bad = finding("a", Kind.NEW, since="next\x1b[2J", reason="x\nSubject: clean\x1b[31m", found="\u202eevil")
    text = report.mail(night(bad, status=1, ref="next\x1b]0;x\n"))
    assert not set(text) & set("\x1b\u202e\x07")
    assert "\nSubject" not in text


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("", Budget()),
        ("8", Budget(8)),
        ("0", Budget(0)),
        ("90m", Budget(None, 5400.0)),
        ("12, 4h", Budget(12, 14400.0)),
    ],
)
def test_budgets(text: str, budget: Budget) -> None:
    assert nightly.budget_of(text) == budget
    assert budget.none == (text == "0")


@pytest.mark.parametrize("text", ["x", "-1", "4 hours", "1.5h"])
def test_no_budgets(text: str) -> None:
    with pytest.raises(UserError, match="12,4h"):
        nightly.budget_of(text)


def test_a_second_night_names_the_first(tmp_path: Path) -> None:
    words = f"another nightly run is going on there, process {os.getpid()}; wait for it"
    with nightly.alone(tmp_path), pytest.raises(InfrastructureError, match=words), nightly.alone(tmp_path):
        pass
    with nightly.alone(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [".nightly.lock"]


@pytest.mark.parametrize(
    ("error", "stage"),
    [
        (BuildError("x"), Stage.BUILD),
        (KernelConfigError("x"), Stage.BUILD),
        (DriverError("x"), Stage.DRIVER),
        (PatchedDriverError("x"), Stage.DRIVER),
        (InfrastructureError("x"), Stage.HARNESS),
    ],
)
def test_whom_a_build_error_is_laid_to(error: BuildError, stage: Stage) -> None:
    assert stage_of(error) is stage


@pytest.mark.parametrize(
    ("version", "series"),
    [
        ("7.3.0-rc1-next-20260102", "7.3"),
        ("8.0.0", "7.3"),
        ("6.12.9", "6.12"),
        ("6.15.1", "6.12"),
        ("5.10", "6.1"),
    ],
)
def test_the_nearest_series(version: str, series: str) -> None:
    rows = load()
    assert {row.file.split("-")[0] for row in of_nearest(rows, version)} == {series}
    assert len(nearest(rows, version)) == len(rows)


def test_teeth_are_the_patches_that_take_the_notification_out() -> None:
    rows = teeth.rebreaking(load(), "7.3.0")
    assert [row.name for row in rows][:2] == ["7.3-remove-notification", "7.3-deaf-driver"]
    assert "6.1-panics-at-boot" not in [row.name for row in rows]
    paths = {w.path for w in teeth.expected(rows[0], WORKLOADS, A57)}
    assert {"anon-reuse", "shmem-clean", "pfnmap"} <= paths
    assert not paths & {"munmap", "pfnmap-populate", "anon-reuse-uncached"}


def test_teeth_hold_when_everything_fails() -> None:
    job = GuestJob("teeth", None, A57, WORKLOADS[:2])  # type: ignore[arg-type]
    names = [w.path for w in job.workloads]

    def judged(*outcomes: str) -> Teeth:
        results = [replace(runs.result(p, o), path=p) for p, o in zip(names, outcomes, strict=False)]
        return teeth.judge("x", [job], [GuestRecord("teeth", A57.name, tuple(results), "POWEROFF")])

    assert judged("LOOP", "STALE").faults == ()
    assert judged("LOOP", "PASS").faults == (f"teeth: with x {names[1]} on cortex-a57 is PASS, and must fail",)
    assert judged("LOOP", "INVALID").faults and judged("LOOP").faults
    assert teeth.judge("x", [], []).faults == ("no teeth: x breaks no path",)


def test_what_tonight_saw(tmp_path: Path) -> None:
    built = runs.built(Series(), tmp_path)
    splat = Splat("warning", "WARNING: x", "", 1)
    record = GuestRecord("base", A57.name, (runs.result("a", "LOOP"),), "POWEROFF", (splat,))
    seen = night_guests.seen(
        [
            Cell(runs.KERNEL, A57, built, record),
            Cell(runs.KERNEL, A76, error="x", stage=Stage.BUILD),
            Cell(runs.KERNEL, replace(A57, name="h"), error="x", stage=Stage.HARNESS),
            Cell(runs.KERNEL, replace(A57, name="b"), built, record, "y", True, Stage.BOOT),
        ]
    )
    bad = {key for key, one in seen.items() if one.outcome.bad}
    assert bad == {("a", A57.name), (LOG, A57.name), (BUILD, A76.name), (BOOT, "b")}
    assert ("a", "b") not in seen
    assert not any(setup == "h" for _, setup in seen)
