# SPDX-License-Identifier: GPL-2.0-or-later
"""What a make log says: objects compiled, compiler warnings, and the lines that explain a failure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_OBJECT = re.compile(r"\s+(?:CC|AS)(?: \[M\])?\s+\S+\.o$")
_WARNING = re.compile(r"\S+:\d+:(?:\d+:)? warning: ")
_ERROR = re.compile(
    r"(?:fatal )?error: |undefined reference|multiple definition of|^ERROR: modpost|^\S*ld: |Error: |"
    r"syntax error|No rule to make target|recipe commences before|missing separator|Assertion"
)
_LEAD = re.compile(r"In file included from|^ +from |In function|In member|At top level|: warning: .*\[-Werror")
_SNIPPET = re.compile(r"\s+\d* *\||.*: note: |^>>> ")
_MAKE_END = re.compile(r"^make(?:\[\d+\])?: \*\*\* \[")
_KILLED = re.compile(r"Killed signal terminated program|^make(?:\[\d+\])?: \*\*\* .*\] (?:Killed|Error 137)$")
_MAX_LINES = 60

KILLED = (
    "a program of the build was killed from outside, by the kernel for want of memory, mostly; run it again with "
    "more memory, or less beside it"
)


def is_object(line: str) -> bool:
    """Whether the line reports a compiled or assembled object (``  CC      mm/memory.o``)."""
    return _OBJECT.match(line) is not None


def warnings(lines: Iterable[str]) -> tuple[str, ...]:
    """First line of every compiler warning, each once, in order."""
    return tuple(dict.fromkeys(line for line in lines if _WARNING.match(line)))


def killed(lines: Iterable[str]) -> bool:
    """Whether a program of the build ended by SIGKILL, which none of a build sends."""
    return any(_KILLED.search(line) for line in lines)


def errors(lines: Sequence[str]) -> str:
    """The compiler's, linker's or make's own words about a failure, with the source lines they show.

    At most 60 lines; the end of the log when nothing in it is known as an error.
    """
    keep: set[int] = set()
    for number, line in enumerate(lines):
        if not _ERROR.search(line) or _MAKE_END.match(line):
            continue
        keep.add(number)
        before = number - 1
        while before >= 0 and before not in keep and _LEAD.search(lines[before]):
            keep.add(before)
            before -= 1
        after = number + 1
        while after < len(lines) and after - number <= 8 and _SNIPPET.match(lines[after]):
            keep.add(after)
            after += 1
    if not keep:
        return "\n".join(lines[-20:])
    failed = [n for n, line in enumerate(lines) if _MAKE_END.match(line)][:1]
    chosen = sorted(keep)[: _MAX_LINES - len(failed)] + failed
    more = len(keep) - (_MAX_LINES - len(failed))
    text = [lines[n] for n in chosen]
    return "\n".join([*text, f"... and {more} more lines in the log"] if more > 0 else text)
