# SPDX-License-Identifier: GPL-2.0-or-later
"""Command lines in README.md and docs/*.md: where they stand, and which are marked as not run, and why.

A mark is a comment: ``<!-- not run: reason -->`` above a block, paragraph or table, or in the line itself;
``<!-- not run (make test): reason -->`` is for that command alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_MARK = re.compile(r"<!-- not run(?: \(([^)]+)\))?: (.*?) -->")
_START = r"(?:make|(?:\./|\.\.\./)?faultloop|cd \S+ && (?:\./|\.\.\./)?faultloop)"
_LINE = re.compile(rf"(?:\$ )?({_START}\s.*)")
_SPAN = re.compile(rf"`({_START} [^`]*)`")
_NEXT = re.compile(rf"\s{{2,}}(?={_START}\s)|(?<!&&)\s(?=\./faultloop\s)")
_REMARK = re.compile(r"\s{2,}.*|\s+#\s.*| &$")
_GAP = re.compile(r"\.\.\.|\[|<[a-z-]+>|\w\|\w|\\\||[A-Z]=(?: |$)")
_PLACEHOLDER = re.compile(r"(?:[A-Z]+_?)+(?:\.\.)?")


@dataclass(frozen=True, slots=True)
class Command:
    """One command line of a document."""

    line: str
    where: str
    """``README.md:12``."""
    reason: str = ""
    """Why it is not run; empty when it is."""
    name: bool = False
    """The bare name of a target or verb, in the text."""

    @property
    def form(self) -> bool:
        """It has a gap for the reader to fill."""
        return bool(_GAP.search(self.line)) or any(_PLACEHOLDER.fullmatch(word) for word in self.line.split()[1:])

    @property
    def runs(self) -> bool:
        return not (self.reason or self.form or self.name)


def commands(document: Path) -> list[Command]:
    """All of a document, in its order."""
    return list(_commands(document.read_text(encoding="utf-8"), document.name))


def _commands(text: str, name: str) -> Iterator[Command]:
    marks: dict[str, str] = {}
    fenced = held = False
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        if line.startswith("```"):
            fenced = not fenced
            marks, held = (marks, True) if fenced else ({}, False)
            continue
        found = {mark[1] or "": mark[2] for mark in _MARK.finditer(line)}
        bare = _MARK.sub("", line).strip()
        if found and not bare and not fenced:
            marks, held = {**marks, **found}, False
            continue
        if not bare and not fenced and held:
            marks, held = {}, False
        held = held or bool(bare)
        mine = {**marks, **found}
        for command in _in_block(line) if fenced else _SPAN.findall(line):
            reason = mine.get(command, mine.get("", ""))
            yield Command(command, where, reason, name=not fenced and len(command.split()) == 2)


def _in_block(line: str) -> list[str]:
    begun = _LINE.match(line)
    return [_REMARK.sub("", part).strip() for part in _NEXT.split(begun[1])] if begun else []
