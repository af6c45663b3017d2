# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Chromium, and pages opened in it that must neither complain nor ask for anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import sample

FLAGS = [
    "--headless",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Open = Callable[..., Page]

PATHS = [
    ("anon-reuse", "LOOP", "PASS"),
    ("anon-reuse-cpu-first", "LOOP", "PASS"),
    ("pfnmap-populate", "LOOP", "LOOP"),
    ("dontneed", "PASS", "PASS"),
    ("ksm-merge", "PASS", "SPLAT"),
    ("guard-page", "SKIP", "SKIP"),
    ("mprotect", "STALE", "PASS"),
    ("fork-child-alive", "PASS", "PASS"),
]


@pytest.fixture(scope="package")  # playwright has a loop of its own, which QMP of other tests would meet
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "Debian package chromium is missing: tools/setup.sh --test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of each kind of outcome."""
    folder = tmp_path_factory.mktemp("run")
    return sample.keep(sample.run(folder, PATHS), folder / "results")


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where screenshots are kept."""
    folder = tmp_path_factory.mktemp("screenshots")
    yield folder
    print(f"\nscreenshots: {folder}")


@pytest.fixture
def show(browser: Browser) -> Iterator[Open]:
    """Open a file in a new profile; at the end, nothing was said on its console and nothing but it was loaded."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []
    files: set[str] = set()

    def opened(
        file: Path,
        *,
        fragment: str = "",
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        js: bool = True,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=js,
        )
        contexts.append(context)
        files.add(file.as_uri())
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url.split("#")[0]))
        page.goto(file.as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert set(asked) == files
