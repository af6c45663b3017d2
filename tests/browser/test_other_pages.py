# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages beside that of a run, in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import expect

from harness.model import Outcome
from harness.past import Point
from harness.report import compare_runs, document, history_page
from tests.browser import sample
from tests.browser.conftest import PATHS, Open
from tests.browser.test_report_page import CONTRAST, names


def test_two_runs(tmp_path: Path, show: Open, shots: Path) -> None:
    a = sample.run(tmp_path, PATHS)
    b = sample.run(tmp_path, [("anon-reuse", "LOOP", "LOOP"), *PATHS[1:4], ("dontneed", "STALE", "PASS")])
    found = compare_runs.compare(document.of(a), document.of(b), ("first", sample.HOSTILE[0]))
    file = tmp_path / "two.html"
    file.write_text(compare_runs.page(found))
    page = show(file, width=360, scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert {n: ratio for n, ratio in page.evaluate(CONTRAST).items() if ratio < 4.5} == {}
    assert page.title() != "owned" and sample.HOSTILE[0] in page.locator("dl").first.inner_text()
    assert names(page)[0] == "anon-reuse"
    page.get_by_role("button", name="worse 4", exact=True).click()
    expect(page.locator("output")).to_have_text(re.compile(r"^4 of \d\d shown"))
    assert set(names(page)) == {"anon-reuse", "dontneed"}
    page.get_by_role("button", name="Reset").click()
    page.locator(".matrix thead th", has_text="setup").get_by_role("button").click()
    setups = page.locator(".matrix tbody td:nth-child(2)").all_inner_texts()
    assert setups == sorted(setups) and len(set(setups)) == 2
    page.screenshot(path=shots / "two-runs.png")


def points() -> list[Point]:
    """Four nights of one kernel and two of another: one path breaks, one is mended."""
    found = []
    nights = [("6.1", "6.1.192"), ("newest", "7.3.4"), ("6.1", "6.1.193"), ("newest", "7.10.1")]
    courses = {
        "anon-reuse": "LOOP PASS LOOP STALE",
        "dontneed": "PASS PASS PASS PASS",
        sample.HOSTILE[1]: "SKIP " * 4,
    }
    for number, (kernel, version) in enumerate(nights):
        for path, outcomes in courses.items():
            for setup in sample.SETUPS:
                outcome = Outcome(outcomes.split()[number])
                started = f"2026-11-{10 + number}T03:00:00+00:00"
                words = (started, "nightly", kernel, version, "base", setup, path, outcome)
                found.append(Point(*words, run=f"run-{number}", ref=f"next-2026111{number}"))
                found.append(replace(found[-1], variant="patched", outcome=Outcome.HANG))
    return found


def test_the_history(tmp_path: Path, show: Open, shots: Path) -> None:
    file = tmp_path / "history.html"
    file.write_text(history_page.page(points()))
    page = show(file)
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text(re.compile("CHANGED 2 of 6 courses"))
    kernels = page.locator(".matrix").first
    assert kernels.locator("thead th").all_inner_texts()[3:] == ["6.1.192", "6.1.193", "7.3.4", "7.10.1"]
    row = kernels.locator("tbody tr").first
    assert row.locator("th, td").all_inner_texts() == [
        "anon-reuse",
        "cortex-a57",
        "newest: PASS to STALE",
        *("LOOP", "LOOP", "PASS", "STALE"),
    ]
    strip = page.locator(".runs tbody tr").first
    assert strip.locator(".o > span[aria-hidden]").all_inner_texts() == ["L", "P", "L", "T"]
    assert strip.locator(".o > .out").all_text_contents() == ["LOOP", "PASS", "LOOP", "STALE"]
    page.get_by_role("button", name="steady 4", exact=True).click()
    assert page.locator(".runs tbody tr:visible").count() == 4
    page.get_by_label("Outcome").select_option("PASS")
    assert {name for name in names(page) if name} == {"dontneed"}
    assert page.title() != "owned"
    assert "HANG" not in page.locator(".o").all_text_contents(), "of a patched kernel"
    page.get_by_role("button", name="Reset").click()
    page.screenshot(path=shots / "history.png")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert {n: ratio for n, ratio in page.evaluate(CONTRAST).items() if ratio < 4.5} == {}
