# SPDX-License-Identifier: GPL-2.0-or-later
"""What a night says against the nights before, its status, and which folders stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from harness.errors import ExitStatus, UserError
from harness.jobs import retention
from harness.jobs.retention import Kept
from harness.model import Outcome
from harness.nights import BUILD, DRIVER, LOG, Finding, Key, Kind, Past, Seen
from harness.oracle import nights

A57 = "cortex-a57"
KEY = ("anon-reuse", A57)


def night(number: int, outcome: str = "PASS", *, key: Key = KEY, flaky: bool = False, reason: str = "") -> Past:
    seen = {key: Seen(Outcome(outcome), reason)} if outcome else {}
    where = frozenset([key]) if flaky else frozenset()
    return Past(f"r{number}", "", f"next-{number}", f"c{number}", "what", 0, "", "", seen, where)


def past(outcomes: str, key: Key = KEY) -> list[Past]:
    """Nights 1, 2, ... with these outcomes, the latest first: P, L, S(kip), I(nvalid), - not there."""
    words = {"P": "PASS", "L": "LOOP", "S": "SKIP", "I": "INVALID", "-": ""}
    return [night(n, words[letter], key=key) for n, letter in enumerate(outcomes, 1)][::-1]


def found(
    now: str | None,
    before: Sequence[Past],
    *,
    again: Sequence[str] = (),
    key: Key = KEY,
    reason: str = "why",
    unmended: Sequence[str] = (),
    why_not: Mapping[str, str] | None = None,
) -> Finding:
    seen = {key: Seen(Outcome(now), reason)} if now else {}
    repeats = {key: [Outcome(o) for o in again]}
    (one,) = nights.compare([key], seen, before, again=repeats, unmended=unmended, why_not=why_not)
    return one


@pytest.mark.parametrize(
    ("now", "before", "kind", "since"),
    [
        ("PASS", "", Kind.GOOD, ""),
        ("PASS", "PP", Kind.GOOD, ""),
        ("LOOP", "", Kind.NEW, ""),
        ("LOOP", "P", Kind.NEW, "next-1"),
        ("LOOP", "PSI-", Kind.NEW, "next-1"),
        ("LOOP", "PL", Kind.STILL, "next-2"),
        ("LOOP", "PLI-", Kind.STILL, "next-2"),
        ("CORRUPT", "PLL", Kind.STILL, "next-2"),
        ("PASS", "PLL", Kind.MENDED, "next-2"),
        ("PASS", "LIS", Kind.MENDED, "next-1"),
        ("SKIP", "", Kind.NOT_NEEDED, ""),
        ("SKIP", "SS", Kind.NOT_NEEDED, ""),
        ("SKIP", "PS", Kind.NOT_RUN, ""),
        ("INVALID", "", Kind.NOT_RUN, ""),
        ("ERROR", "P", Kind.NOT_RUN, ""),
        (None, "P", Kind.NOT_RUN, ""),
        ("LOOP", "PLPLP", Kind.FLAKY, ""),
        ("PASS", "LPL", Kind.FLAKY, ""),
        ("LOOP", "PLPPPPPPPPPPP", Kind.NEW, "next-13"),
    ],
)
def test_kinds(now: str | None, before: str, kind: Kind, since: str) -> None:
    one = found(now, past(before))
    assert (one.kind, one.since) == (kind, since)
    assert one.since_commit == since.replace("next-", "c")


def test_more_guests_tell_new_from_flaky() -> None:
    assert found("LOOP", past("PP"), again=["LOOP", "STALE"]).kind is Kind.NEW
    one = found("LOOP", past("PP"), again=["LOOP", "PASS"])
    assert one.kind is Kind.FLAKY
    assert one.reason.startswith("fails on 2 of 3 guests of this kernel: why")
    assert found("LOOP", past("PP"), again=["ERROR", "INVALID"]).kind is Kind.NEW


def test_what_a_night_called_flaky_is_no_measure() -> None:
    before = [night(2, "LOOP", flaky=True), night(1, "PASS")]
    assert found("LOOP", before, again=["LOOP"]).kind is Kind.NEW
    assert found("PASS", before).kind is Kind.GOOD


def test_what_fails_on_every_kernel_is_no_news() -> None:
    one = found("LOOP", [], unmended=[KEY[0]])
    assert (one.kind, one.known) == (Kind.STILL, True)
    assert found("LOOP", past("P"), unmended=[KEY[0]]).kind is Kind.NEW


def test_why_nothing_ran() -> None:
    assert found(None, [], why_not={A57: "it does not build"}).reason == "it does not build"


def test_a_log_that_says_more_is_new_whatever_the_numbers() -> None:
    key = (LOG, A57)
    before = [night(1, "SPLAT", key=key, reason="WARNING: PID: 17 at mm/x.c:12")]
    assert found("SPLAT", before, key=key, reason="WARNING: PID: 18 at mm/x.c:13").kind is Kind.STILL
    assert found("SPLAT", before, key=key, reason="WARNING: PID: 18 at mm/x.c:13; BUG: y").kind is Kind.NEW


@pytest.mark.parametrize(
    ("kinds", "faults", "harness", "status"),
    [
        ([Kind.GOOD, Kind.NOT_NEEDED, Kind.STILL, Kind.MENDED], [], False, ExitStatus.FIXES),
        ([Kind.NEW, Kind.NOT_RUN], ["control"], True, ExitStatus.NOT_FIXED),
        ([Kind.GOOD], ["teeth"], False, ExitStatus.UNDECIDED),
        ([Kind.GOOD, Kind.NOT_RUN], [], False, ExitStatus.UNDECIDED),
        ([Kind.GOOD, Kind.FLAKY], [], False, ExitStatus.UNDECIDED),
        ([Kind.GOOD], ["teeth"], True, ExitStatus.INFRASTRUCTURE),
    ],
)
def test_status(kinds: list[Kind], faults: list[str], harness: bool, status: ExitStatus) -> None:
    findings = [Finding("a", A57, kind, None) for kind in kinds]
    assert nights.status(findings, faults=faults, harness=harness) is status


def test_a_driver_that_does_not_build_is_ours_and_a_kernel_is_not() -> None:
    drift = Finding(DRIVER, A57, Kind.NOT_RUN, Outcome.ERROR)
    assert nights.status([drift], faults=[], harness=False) is ExitStatus.INFRASTRUCTURE
    broken = found("HANG", past("P", (BUILD, A57)), key=(BUILD, A57))
    assert nights.status([broken], faults=[], harness=False) is ExitStatus.NOT_FIXED


def test_folders_that_open_failures_refer_to() -> None:
    assert nights.open_since(past("PPLLI")) == {"r2", "r3"}
    assert nights.open_since(past("LLL")) == {"r1"}
    assert nights.open_since(past("PLP")) == frozenset()


FOLDERS = [Kept(f"n{number}", 10) for number in range(6)]


@pytest.mark.parametrize(
    ("needed", "keep", "size", "gone"),
    [
        ([], 9, 1000, []),
        ([], 4, 1000, ["n4", "n5"]),
        (["n5"], 4, 1000, ["n4"]),
        ([], 9, 35, ["n5", "n4", "n3"]),
        (["n4"], 9, 35, ["n5", "n3", "n2"]),
        ([], 0, 0, ["n1", "n2", "n3", "n4", "n5"]),
        (["n2"], 1, 0, ["n1", "n3", "n4", "n5"]),
    ],
)
def test_retention(needed: list[str], keep: int, size: int, gone: list[str]) -> None:
    assert retention.surplus(FOLDERS, needed, keep=keep, size=size) == gone


def test_only_folders_of_nights_go(tmp_path: Path) -> None:
    for name in ("n1", "n2", "n3", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log").write_text("x" * 9000)
    (tmp_path / "link").symlink_to("mine")
    assert retention.prune(tmp_path, ["n3", "n2", "n1", "gone", "link"], ["n1"], keep=1, size=0) == ["n2"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "mine", "n1", "n3"]


@pytest.mark.parametrize(("text", "size"), [("20G", 20 << 30), ("5 MiB", 5 << 20), ("7", 7), ("1k", 1024)])
def test_sizes(text: str, size: int) -> None:
    assert retention.size_of(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1.5G", "1X"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UserError, match="like 20G"):
        retention.size_of(text)
