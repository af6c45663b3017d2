# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a run in a real browser: what it shows, how it is used, and that nothing else runs in it.

``show`` (conftest.py) sees to it in every test that the console stays empty and that nothing else is loaded.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import sample
from tests.browser.conftest import PATHS, Open

CONTRAST = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const draw = canvas.getContext("2d", {willReadFrequently: true});
  const rgb = (color, under) => {
    draw.fillStyle = under; draw.fillRect(0, 0, 1, 1);
    draw.fillStyle = color; draw.fillRect(0, 0, 1, 1);
    return [...draw.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (c) => {
    const [r, g, b] = c.map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const paper = getComputedStyle(document.body).backgroundColor;
  const worst = new Map();
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
    if (e.closest(".out, .jump, svg")) continue;
    let behind = e;
    const clear = (b) => /, 0\\)$|transparent/.test(getComputedStyle(b).backgroundColor);
    while (behind && clear(behind)) behind = behind.parentElement;
    const back = rgb(behind ? getComputedStyle(behind).backgroundColor : paper, paper);
    const front = rgb(getComputedStyle(e).color, `rgb(${back})`);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const name = `${e.tagName}.${e.className}`;
    worst.set(name, Math.min(worst.get(name) ?? 99, (a + .05) / (b + .05)));
  }
  return Object.fromEntries(worst);
}"""


def names(page: Page) -> list[str]:
    """Paths of the matrix that are shown, in order."""
    return page.locator(".matrix tbody tr:not([hidden]) th").all_inner_texts()


def test_the_first_screen_says_it_all(report: Path, show: Open, shots: Path) -> None:
    page = show(report)
    expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile("REGRESSES ksm-merge worse than on the base")
    )
    words = page.locator("main").inner_text()
    for word in ("Linux 6.1.192", "36 objects of 36", "cortex-a57, cortex-a76", "with the IOTLB off: 3 PASS"):
        assert word in words
    assert page.locator(".matrix").bounding_box()["y"] < 900  # type: ignore[index]
    assert names(page)[:3] == ["ksm-merge", "pfnmap-populate", "anon-reuse"], "what matters most comes first"
    row = page.locator(".matrix tr[data-path=anon-reuse]")
    assert row.locator(".o").all_inner_texts() == ["LOOP", "PASS", "LOOP", "PASS"]
    assert "50 / 0 / 0" in row.inner_text()
    page.screenshot(path=shots / "first.png")


def test_sorting(report: Path, show: Open) -> None:
    page = show(report)
    before = names(page)
    head = page.locator(".matrix thead th", has_text="path")
    head.get_by_role("button").click()
    assert names(page) == sorted(before) and head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    assert names(page) == sorted(before, reverse=True) and head.get_attribute("aria-sort") == "descending"
    other = page.locator(".matrix thead th", has_text="base").first
    other.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "none" and other.get_attribute("aria-sort") == "ascending"
    outcomes = page.locator(".matrix tbody td:nth-child(4) .o").all_inner_texts()
    assert outcomes[0] == "STALE" and outcomes[-1] == "PASS"
    page.locator(".costs thead th", has_text="patched").first.get_by_role("button").click()
    numbers = [int(n) for n in page.locator(".costs tbody td:nth-child(4)").all_inner_texts()]
    assert numbers == sorted(numbers) and len(set(numbers)) > 2


def test_filtering(report: Path, show: Open) -> None:
    page = show(report)
    search = page.get_by_role("searchbox")
    search.fill("anon first")
    assert names(page) == ["anon-reuse-cpu-first"]
    expect(page.locator("output")).to_have_text("1 of 8 shown")
    assert page.locator("details.path:visible").count() == 1
    assert page.locator(".costs tbody tr:visible").count() == 1
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("output")).to_have_text("")
    assert len(names(page)) == len(PATHS)
    page.get_by_label("Outcome").select_option("STALE")
    assert names(page) == ["mprotect"]
    page.get_by_label("Outcome").select_option("")
    page.get_by_label("Family").select_option("A")
    assert set(names(page)) == {"anon-reuse", "anon-reuse-cpu-first", "pfnmap-populate"}
    page.get_by_label("Family").select_option("")
    mended = page.get_by_role("button", name="mended 3", exact=True)
    mended.click()
    assert set(names(page)) == {"anon-reuse", "anon-reuse-cpu-first", "mprotect"}
    assert mended.get_attribute("aria-pressed") == "true"
    search.fill("no such thing")
    assert names(page) == [] and page.get_by_text("No path is like that.").is_visible()


def test_a_link_opens_its_path(report: Path, show: Open, shots: Path) -> None:
    page = show(report, fragment="#path-pfnmap-populate")
    path = page.locator("#path-pfnmap-populate")
    expect(path).to_have_attribute("open", "")
    expect(path).to_be_in_viewport()
    assert page.locator("details.path[open]").count() == 1
    page.locator(".matrix").get_by_role("link", name="anon-reuse", exact=True).click()
    expect(page.locator("#path-anon-reuse .plot").first).to_be_visible()
    assert page.url.endswith("#path-anon-reuse")
    page.screenshot(path=shots / "path.png")
    page.locator("#path-anon-reuse > summary").click()
    assert page.locator("#path-anon-reuse").get_attribute("open") is None
    page.get_by_role("searchbox").fill("dontneed")
    page.evaluate("location.hash = '#path-mprotect'")
    expect(page.locator("#path-mprotect .plot").first).to_be_visible()
    # Where one already is.
    page.locator(".matrix").get_by_role("link", name="mprotect").click()
    expect(page.locator("#path-mprotect")).to_have_attribute("open", "")


def test_a_loop_is_a_staircase_and_its_mending_a_step(report: Path, show: Open) -> None:
    page = show(report, fragment="#path-anon-reuse")
    figure = page.locator("#path-anon-reuse figure").first
    base, patched = (figure.locator(".plot").nth(n) for n in (0, 1))
    assert base.bounding_box()["y"] < patched.bounding_box()["y"]  # type: ignore[index]
    stairs = [plot.locator(".stairs").get_attribute("d") or "" for plot in (base, patched)]
    assert [d.count("V") for d in stairs] == [51, 2], "and down at the end"
    heights = [[int(y) for y in re.findall(r"V(\d+)", d)][:-1] for d in stairs]
    assert all(ys == sorted(ys, reverse=True) for ys in heights)
    assert base.locator(".notifier, .tlbi").count() == 0 and patched.locator(".notifier, .tlbi").count() == 2
    lanes, labels = (
        figure.locator(".labels use").first.bounding_box(),
        figure.locator(".labels").first.bounding_box(),
    )
    assert lanes and labels and 0 < labels["x"] + labels["width"] - (lanes["x"] + lanes["width"]) < 10, "set right"
    spoken = page.get_by_role("img", name=re.compile("^base: 50 stalls, 50 resumes, .* no notifier calls"))
    assert spoken.first.is_visible()
    entry = page.locator("#path-anon-reuse tr", has_text="before").first.inner_text()
    assert "0xe0000040a42fc3 read-only" in entry and "r-,level=3" in entry


def test_a_run_without_timelines_says_so(tmp_path: Path, show: Open) -> None:
    page_file = sample.keep(sample.run(tmp_path, PATHS[:2]), tmp_path / "results")
    for timeline in (tmp_path / "results").glob("*/*/*/timeline.json"):
        timeline.unlink()
    from harness.jobs.report import remake

    remake(page_file.parent)
    page = show(page_file)
    assert page.get_by_text("This run has no timelines").is_visible()
    assert page.locator("figure").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(report: Path, show: Open, shots: Path, scheme: str) -> None:
    page = show(report, fragment="#path-ksm-merge", scheme=scheme)
    page.locator("#open").click()
    contrast = page.evaluate(CONTRAST)
    assert len(contrast) > 25
    assert {name: ratio for name, ratio in contrast.items() if ratio < 4.5} == {}
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=shots / f"{scheme}.png")


def test_the_theme_is_the_systems_until_it_is_switched(report: Path, show: Open) -> None:
    page = show(report, scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    switch = page.get_by_role("button", name="Theme")
    switch.click()
    expect(switch).to_have_text("Theme: light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark
    page.reload()
    assert page.evaluate(paper) == "rgb(255, 255, 255)", "kept"
    switch.click()
    assert page.evaluate(paper) == dark


def test_a_phone_scrolls_no_page_sideways(report: Path, show: Open, shots: Path) -> None:
    page = show(report, width=360, height=740)
    page.screenshot(path=shots / "phone.png")
    page.locator("#open").click()
    width = page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert max(width) <= 360
    table = page.locator(".scroll", has=page.locator(".matrix"))
    assert table.evaluate("e => e.scrollWidth > e.clientWidth && getComputedStyle(e).overflowX === 'auto'")
    assert page.locator(".matrix tbody th").first.bounding_box()["width"] > 100  # type: ignore[index]
    page.locator("#path-anon-reuse figure").first.screenshot(path=shots / "phone-timeline.png")


def test_print_shows_the_result_and_no_controls(report: Path, show: Open, shots: Path) -> None:
    page = show(report, scheme="dark", fragment="#path-anon-reuse")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for control in (".filters", "#theme", ".tools", "nav"):
        assert not page.locator(control).first.is_visible()
    assert page.locator(".matrix").is_visible() and page.locator("#path-anon-reuse .plot").first.is_visible()
    page.pdf(path=shots / "print.pdf", format="A4", print_background=True)
    assert (shots / "print.pdf").stat().st_size > 10_000


def test_all_of_it_can_be_had_by_the_keyboard(report: Path, show: Open) -> None:
    page = show(report)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the result")).to_be_focused()
    assert page.locator(".jump").bounding_box()["x"] >= 0  # type: ignore[index]
    reached = []
    look = """() => { const e = document.activeElement, s = getComputedStyle(e);
      return [e.tagName, `${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 20)}`,
              s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2]; }"""
    for _ in range(45):
        page.keyboard.press("Tab")
        tag, what, seen = page.evaluate(look)
        if tag == "BODY":
            break
        assert seen, f"focus cannot be seen: {what}"
        reached.append(what)
    order = ("Theme", "Matrix", "all 8", "INPUT", "SELECT", "Reset", "scroll", "BUTTON  path", "A  ksm-merge")
    places = [next((n for n, what in enumerate(reached) if word in what), -1) for word in order]
    assert -1 not in places and places == sorted(places), list(zip(order, places, strict=True))
    page.locator(".matrix").get_by_role("link", name="dontneed").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#path-dontneed > summary")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.locator("#path-dontneed").get_attribute("open") is None


def test_a_screen_reader_finds_its_way(report: Path, show: Open) -> None:
    page = show(report, fragment="#path-anon-reuse")
    tree = page.locator("body").aria_snapshot()
    for role in ("banner", "main", "navigation", "contentinfo", "search"):
        assert f"- {role}" in tree, role
    for named in (
        'table "Outcome of each path on each setup, base and patched kernel"',
        'columnheader "path"',
        'rowheader "anon-reuse"',
        'region "Matrix"',
        "50 stalls, 0 TLBI, 0 calls",
    ):
        assert named in tree, named
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map((e) => Number(e.tagName[1]))")
    assert levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert page.locator("thead th:not([scope]), tbody th:not([scope])").count() == 0
    assert page.locator("[id]").evaluate_all("all => new Set(all.map((e) => e.id)).size === all.length")
    assert page.locator("input, select").evaluate_all("all => all.every((e) => e.labels.length === 1)")
    assert page.locator("[aria-labelledby]").evaluate_all(
        "all => all.every((e) => document.getElementById(e.getAttribute('aria-labelledby')))"
    )
    assert page.locator("html").get_attribute("lang") == "en" and page.title().startswith("REGRESSES")


def test_without_scripts_all_is_there(report: Path, show: Open) -> None:
    page = show(report, js=False)
    assert len(names(page)) == len(PATHS)
    page.locator("#path-anon-reuse > summary").click()
    assert page.locator("#path-anon-reuse .plot").first.is_visible()
    assert not page.locator(".filters").is_visible() and not page.locator("#theme").is_visible()


def test_hostile_words_are_only_shown(tmp_path: Path, show: Open, shots: Path) -> None:
    outcomes = [(name, "LOOP", "SPLAT") for name in sample.HOSTILE]
    made = sample.run(tmp_path, outcomes)
    file = sample.keep(made, tmp_path / "results")
    page = show(file)
    page.locator("#open").click()
    for details in page.locator("details:not(.path) > summary").all()[:40]:
        details.click()
    page.locator(".what").first.hover()
    assert "owned" not in page.title()
    assert (
        page.locator("script").count() == 1
        and page.locator("img, iframe, object, [onload], [onerror]").count() == 0
    )
    text = page.locator("body").inner_text()
    assert sample.HOSTILE[0] in text and "{{ 7*191 }}" in text and "1337" not in text
    whole = "./faultloop test-patch series.patch --base 'it'\"'\"'s $(rm -rf /) 6.1' --fresh"
    assert page.locator(".command").last.inner_text() == whole, "quoted for a shell"
    for evil in ("\x1b", "\x07", "\N{RIGHT-TO-LEFT OVERRIDE}"):
        assert evil not in text and evil not in file.read_text()
    # Each can be linked to all the same.
    for link in page.locator(".matrix tbody a").all():
        assert page.locator(f"[id='{(link.get_attribute('href') or '#')[1:]}']").count() == 1
    page.screenshot(path=shots / "hostile.png")


def test_what_gets_through_is_not_run(report: Path, tmp_path: Path, browser: object, show: Open) -> None:
    """The policy holds even if a name came out unescaped."""
    file = tmp_path / "report.html"
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    evil += "<style>body{display:none}</style>"
    file.write_text(report.read_text().replace('<main id="main"', evil + '<main id="main"', 1))
    context = browser.new_context()  # type: ignore[attr-defined]
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(file.as_uri())
    assert "owned" not in page.title() and page.locator("main").is_visible()
    assert len([m for m in refused if "Content Security Policy" in m]) >= 3
    context.close()


def test_a_run_without_a_patch(tmp_path: Path, show: Open, shots: Path) -> None:
    rows = [(path, base, "") for path, base, _ in PATHS]
    page = show(sample.keep(sample.run(tmp_path, rows, patched=False), tmp_path / "results"))
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("AFFECTED"))
    assert page.locator(".matrix tr[data-path=mprotect] .o").all_inner_texts() == ["STALE", "STALE"]
    assert names(page)[0] == "mprotect"
    page.locator(".matrix").get_by_role("link", name="anon-reuse", exact=True).click()
    expect(page.locator("#path-anon-reuse .plot").first).to_be_visible()
    page.screenshot(path=shots / "single.png")


def test_a_whole_run_stays_small_and_quick(tmp_path: Path, show: Open) -> None:
    kinds = [("LOOP", "PASS"), ("PASS", "PASS"), ("PASS", "PASS")]
    rows = [(f"path-number-{n}-cpu-first", *kinds[n % 3]) for n in range(120)]
    file = sample.keep(sample.run(tmp_path, rows), tmp_path / "results")
    assert 1_000_000 < file.stat().st_size < 3_000_000
    page = show(file)
    took = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert took < 5000, "milliseconds, on a busy machine"
    page.get_by_role("searchbox").fill("number-17")
    assert names(page) == ["path-number-17-cpu-first"]
