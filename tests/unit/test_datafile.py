# SPDX-License-Identifier: GPL-2.0-or-later
"""Data files: what is wrong is told with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import layout
from harness.errors import UserError
from harness.sources import catalogue

GOOD = """\
workloads:
  - path: anon-reuse
    family: A
    what: fork, child exits
  - path: thp-reuse
    family: A
    what: the same with a huge page
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "catalogue.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (GOOD.replace("what: fork, child exits", "wat: x"), 4, "wat"),
        (GOOD.replace("    family: A\n    what: the", "    familie: A\n    what: the"), 5, "familie"),
        (GOOD.replace("anon-reuse", "../x"), 2, "path"),
        (GOOD.replace("family: A", "family: [", 1), 4, "YAML"),
        ("- 1\n", 1, "dictionary"),
        (GOOD + "surplus: 1\n", 8, "did you mean|known"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path: Path, text: str, line: int, words: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UserError, match=words) as caught:
        catalogue.workloads(file)
    message = caught.value.message
    assert message.startswith(f"{file}:")
    found = int(message.split(":")[1])
    assert abs(found - line) <= 2, message


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        catalogue.workloads(tmp_path / "none.yaml")


def test_selection_by_name_and_glob(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    assert [w.path for w in catalogue.workloads(file, "thp-*")] == ["thp-reuse"]
    assert [w.path for w in catalogue.workloads(file, "thp-reuse, anon-reuse")] == ["anon-reuse", "thp-reuse"]


def test_unknown_workload_gets_the_nearest_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean anon-reuse"):
        catalogue.workloads(write(tmp_path, GOOD), "anon-resue")


def test_the_projects_own_files_are_valid() -> None:
    root = layout.project().root
    assert [s.name for s in catalogue.setups(root / "setups.yaml")] == ["cortex-a57", "cortex-a76"]
    assert len(catalogue.workloads(root / "guest-tests" / "workloads" / "catalogue.yaml")) >= 15
    with pytest.raises(UserError, match="did you mean cortex-a"):
        catalogue.setups(root / "setups.yaml", "cortex-a75")


def test_selection_by_family(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(
        "workloads:\n  - {path: one, family: A, what: x}\n  - {path: two, family: B, what: y, forms: [uncached]}\n"
    )
    assert [w.path for w in catalogue.workloads(path, "family:B")] == ["two", "two-uncached"]
    assert [w.path for w in catalogue.workloads(path, "family:A,two")] == ["one", "two"]
    with pytest.raises(UserError, match="unknown workload 'family:C'"):
        catalogue.workloads(path, "family:C")
