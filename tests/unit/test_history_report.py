# SPDX-License-Identifier: GPL-2.0-or-later
"""A path over time, as text, plot and JSON."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from harness.model import Outcome
from harness.past import Point
from harness.report import history as report


def point(day: int, outcome: str, setup: str = "cortex-a57", **more: object) -> Point:
    values = {"ref": f"next-202601{day:02}", "stalls": day, "run": f"r{day}", **more}
    started = f"2026-01-{day:02}T03:00:00+00:00"
    return Point(started, "nightly", "t@x", "7.3.0", "base", setup, "anon-reuse", Outcome(outcome), **values)  # type: ignore[arg-type]


POINTS = [
    point(1, "PASS"),
    point(1, "PASS", "cortex-a76"),
    point(2, "STALE"),
    point(2, "LOOP", "cortex-a76"),
    point(3, "INVALID"),
    point(3, "SKIP", "cortex-a76"),
]


def text(points: list[Point], **more: object) -> str:
    stream = io.StringIO()
    report.show(points, stream, **more)  # type: ignore[arg-type]
    return stream.getvalue()


def test_without_a_terminal_there_are_lines_only() -> None:
    told = text(POINTS)
    assert "course   PT?  cortex-a57\n" in told
    assert "course   PL-  cortex-a76\n" in told
    assert "letters  - SKIP, ? INVALID, L LOOP, P PASS, T STALE" in told
    assert ["2026-01-02", "03:00", "next-20260102", "cortex-a76"] in [row.split()[:4] for row in told.splitlines()]
    assert "┤" not in told
    assert "anon-reuse" not in told  # the only path
    assert "memfd-clean" in text([*POINTS, replace(POINTS[0], path="memfd-clean")])
    assert "\x1b" not in told


def test_the_plot_has_what_is_bad_on_top() -> None:
    plot = report.drawn(POINTS, count="", width=80)
    assert "\x1b" not in plot
    rows = [line.strip() for line in plot.splitlines()]
    named = [row.split("┤")[0] for row in rows if "┤" in row]
    assert named == ["STALE", "LOOP", "PASS", "INVALID", "SKIP"]
    assert "x cortex-a57   o cortex-a76" in plot
    assert "next-20260101" in plot
    assert text(POINTS, plot=True).endswith(plot.splitlines()[-1] + "\n")


def test_a_counter_has_a_column_and_its_own_plot() -> None:
    points = [point(1, "PASS", counted=7), point(2, "PASS", counted=90)]
    assert text(points, count="cmd-resume").splitlines()[0].endswith("cmd-resume")
    assert "90.0" in report.drawn(points, count="cmd-resume", width=80)


def test_only_the_latest_are_in_the_table() -> None:
    points = [point(1, "PASS", run=f"r{n}") for n in range(60)]
    told = text(points)
    assert told.count("next-20260101") == 40
    assert "the latest 40 of 60" in told
    assert len(json.loads(report.dump(points))["points"]) == 60


def test_what_is_hostile_is_shown_inert() -> None:
    told = text([point(1, "PASS", ref="next\x1b[2J\nRESULT")], plot=True)
    assert "\x1b" not in told
    assert "\nRESULT" not in told
