# SPDX-License-Identifier: GPL-2.0-or-later
"""Say why a text holds no patch, so that its user knows what to give instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.errors import PatchError
from harness.sources.patch_head import parse_subject
from harness.sources.patch_hunk import HUNK
from harness.sources.patch_mail import Message
from harness.sources.patch_stat import SUMMARY
from harness.sources.patch_text import Line, damaged, printable

_QUOTE = re.compile(rb"[ \t]*(?:[>|] ?)+")
_FLAT = re.compile(rb"\S {1,8}>{1,8} |\S {1,8}diff --git |\S {1,8}Message-ID: |\S {1,8}Subject: ")
_FLAT = re.compile(rb"\S {1,8}(?:>{1,8} |diff --git |Message-ID: |Subject: )")
_FAR = 100_000
_LONG = 998
"""The longest line of a mail (RFC 5322, section 2.1.1)."""
_FAR = 100_000
_WAY_OUT = "give the raw mail (lore's `raw` or `mbox.gz` link), an mbox, or the output of `git format-patch`"


def no_patch(found: Sequence[Message], lines: Sequence[Line], name: str) -> PatchError:
    """The one error for a text without a patch."""
    bodies = [line for message in found for line in message.body]
    number, what = _evidence(bodies or lines)
    subjects = list(dict.fromkeys(parse_subject(message.subject).subject for message in found if message.subject))
    about = f" The subject is: {subjects[0]}." if len(subjects) == 1 else ""
    return damaged(name, number, f"no whole patch in it: {what}.{about} Way out: {_WAY_OUT}")


def _evidence(lines: Sequence[Line]) -> tuple[int, str]:
    """Line, and what stands in a patch's place."""
    for line in lines:
        if len(line.data) > _LONG and _FLAT.search(line.data[:_FAR]):
            return line.number, f"the text has lost its line ends ({len(line.data)} characters in this one)"
    for line in lines:
        if line.data[:40].lower().startswith((b"content-type: text/html", b"<!doctype html", b"<html")):
            return line.number, "it is HTML"
        if line.data.startswith(b"\x1b["):
            return line.number, "it has colour codes; make it again with `git diff --no-color`"
    inner = [(n, data[match.end() :]) for n, data in lines if (match := _QUOTE.match(data))]
    if at := next((number for number, data in inner if data.startswith(b"diff --git ") or HUNK.match(data)), 0):
        return at, "it only quotes hunks of a patch, from this line on, and quoted text is not taken for a patch"
    marked = [number for number, data in inner if data[:1] in {b"+", b"-"} and data.strip(b"+- ")]
    if len(marked) >= 3:
        return marked[0], "it only quotes lines of a patch, from this line on"
    if at := next((number for number, data in inner if SUMMARY.match(data)), 0):
        return at, "it quotes the message and the diffstat of a patch, but not its diff"
    for line in lines:
        if HUNK.match(line.data.strip()) or line.data.strip().startswith(b"diff --git "):
            return line.number, f"its diff is indented: {printable(line.data, 60)}"
    if at := next((line.number for line in lines if SUMMARY.match(line.data)), 0):
        return at, "it has a diffstat, but no diff"
    return lines[0].number, "there is no diff in it"
