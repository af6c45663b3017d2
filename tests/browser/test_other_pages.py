# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages beside that of a run, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import expect

from harness.report import compare_runs, document
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
