# SPDX-License-Identifier: GPL-2.0-or-later
"""patches/linux: the catalogue and the patches must agree with each other and with the catalogue of paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.model import Verdict

ROOT = Path(__file__).resolve().parents[2]
LINUX = ROOT / "patches/linux"
KEYS = {
    "file",
    "base",
    "title",
    "approach",
    "verdict",
    "mends",
    "leaves",
    "breaks",
    "splat",
    "end",
    "thread",
    "reason",
}


def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = yaml.safe_load((LINUX / "catalogue.yaml").read_text(encoding="utf-8"))["patches"]
    return rows


def _paths() -> set[str]:
    text = (ROOT / "guest-tests/workloads/catalogue.yaml").read_text(encoding="utf-8")
    return {row["path"] for row in yaml.safe_load(text)["workloads"]}


def _subject(text: str) -> str:
    found = re.search(r"^Subject: \[PATCH\] (.*(?:\n .*)*)", text, re.MULTILINE)
    assert found, "no Subject: [PATCH] line"
    return found.group(1).replace("\n ", " ")


def test_every_patch_has_one_row() -> None:
    listed = [row["file"] for row in _rows()]
    assert sorted(listed) == sorted(p.name for p in LINUX.glob("*.patch"))


@pytest.mark.parametrize("row", _rows(), ids=lambda row: str(row["file"]))
def test_row_is_sound(row: dict[str, Any]) -> None:
    assert set(row) == KEYS
    verdict = Verdict(row["verdict"])
    mends, leaves, breaks = set(row["mends"]), set(row["leaves"]), set(row["breaks"])
    assert (mends | leaves | breaks) <= _paths()
    assert not mends & leaves and not mends & breaks and not leaves & breaks
    assert row["end"] in {"POWEROFF", "PANIC"}
    worse = bool(breaks or row["splat"] or row["end"] == "PANIC")
    expected = {
        Verdict.FIXES: mends and not leaves and not worse,
        Verdict.PARTIAL: mends and leaves and not worse,
        Verdict.NO_EFFECT: leaves and not mends and not worse,
        Verdict.REGRESSES: worse,
    }
    assert expected[verdict], f"{row['file']}: {verdict} does not follow from its lists"


@pytest.mark.parametrize("row", _rows(), ids=lambda row: str(row["file"]))
def test_patch_is_a_mail(row: dict[str, Any]) -> None:
    """git format-patch's form, and a plain word in every one that must not be merged."""
    text = (LINUX / row["file"]).read_text(encoding="ascii")
    assert text.startswith("From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n")
    assert _subject(text) == row["title"]
    message, diff = text.split("\n---\n", 1)
    assert re.search(r"^ \d+ files? changed", diff, re.MULTILINE)
    assert ("ot for merging" in message) == (row["verdict"] != "FIXES")
    assert all(len(line) <= 78 for line in message.splitlines())
