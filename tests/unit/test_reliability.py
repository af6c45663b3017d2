# SPDX-License-Identifier: GPL-2.0-or-later
"""Each fault of docs/reliability.md names the tests that inject it, and they exist."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

import pytest

from tests.documents import ROOT

TEXT = (ROOT / "docs" / "reliability.md").read_text()
HEAD = ["fault", "what happens", "outcome, status", "what the user sees", "test"]


@dataclass(frozen=True)
class Row:
    """One fault."""

    line: int
    cells: tuple[str, ...]

    @property
    def tests(self) -> list[str]:
        """``FILE::NAME``; a name alone is of the file before it."""
        file, found = "", []
        for word in re.findall(r"`([^`]+)`", self.cells[-1]):
            before, _, name = word.rpartition("::")
            file = before or file
            found.append(f"{file}::{name}")
        return found


def rows(text: str) -> list[Row]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells != HEAD and set(line) - set("|- "):
            found.append(Row(number, tuple(cells)))
    return found


def missing(row: Row) -> list[str]:
    """What is wrong with it."""
    if len(row.cells) != len(HEAD) or not all(row.cells):
        return [f"{len(row.cells)} cells, or an empty one"]
    wrong = [] if row.tests else ["names no test"]
    for test in row.tests:
        file, _, name = test.partition("::")
        path = ROOT / "tests" / file
        if not path.is_file() or name not in functions(path.read_text()):
            wrong.append(f"no test {test}")
    return wrong


def functions(source: str) -> set[str]:
    found = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    return {node.name for node in found if node.name.startswith("test_")}


@pytest.mark.parametrize("row", rows(TEXT), ids=lambda row: f"line-{row.line}")
def test_a_fault_names_tests_that_exist(row: Row) -> None:
    assert missing(row) == []


def test_both_halves_are_there() -> None:
    assert re.findall(r"^## (.*)$", TEXT, re.M)[:2] == ["The guest", "The host"]
    assert TEXT.count("| " + " | ".join(HEAD) + " |") >= 2


def test_what_is_wrong_with_a_row_is_seen() -> None:
    tests = "`unit/test_reliability.py::test_both_halves_are_there`, `test_a_fault_names_tests_that_exist`"
    good = f"| a | b | c | d | {tests} |"
    text = f"| {' | '.join(HEAD)} |\n|---|---|---|---|---|\n{good}\n"
    (row,) = rows(text)
    assert missing(row) == []
    assert missing(rows(good.replace("halves", "thirds"))[0]) == [
        "no test unit/test_reliability.py::test_both_thirds_are_there"
    ]
    assert missing(rows(good.replace("names_tests", "names_no_tests"))[0])
    assert missing(rows("| a | b | c | d | nobody |")[0]) == ["names no test"]
    assert missing(rows("| a |  | c | d | nobody |")[0])
