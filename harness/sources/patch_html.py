# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of a list archive's page that was saved as HTML: what a browser shows, in lines.

Only ``<pre>`` keeps its blanks, as in a browser. What is no element of HTML (``<linux/mm.h>``, ``<a@b.org>`` in a
page that does not escape them) stays text: dropping it would change the patch. One pass, linear in the text.
"""

from __future__ import annotations

import html
import re

from harness.sources.patch_hunk import HUNK
from harness.sources.patch_text import Line, damaged

_STARTS = (b"<!doctype html", b"<html", b"<?xml", b"<!--", b"<head", b"<title", b"<meta", b"<body", b"<pre")
_LOOK = 1000
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})(?=[\s/>])[^<>]*>|<!--|<[!?][^<>]*>")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_BLANKS = re.compile(r"[ \t\n\f\r]+")
_BLOCKS = (
    "address article aside blockquote body center dd div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 head header "
    "hr html li main nav ol p pre section table tbody td th thead tr ul"
)
_INLINE = (
    "a abbr acronym b big br button cite code col colgroup del dfn em font i iframe img input ins kbd label link "
    "mark meta noscript option q s samp script select small span strike strong style sub sup title tt u var wbr"
)
_UNSEEN = frozenset({"script", "style", "title"})


def is_page(data: bytes) -> bool:
    """Whether the file ``data`` is an HTML page."""
    return data[:_LOOK].lstrip().lower().startswith(_STARTS)


def page_lines(data: bytes, name: str) -> list[Line]:
    """The text of the page ``data`` of the file ``name``; each line has the number of its line in that file.

    PatchError if a hunk stands outside ``<pre>``: its blanks are lost.
    """
    page = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    text = _Text(name)
    blocks, inline = frozenset(_BLOCKS.split()), frozenset(_INLINE.split())
    at = depth = 0
    unseen = ""
    while at < len(page):
        match = _TAG.search(page, at)
        until = match.start() if match else len(page)
        if not unseen:
            text.add(page[at:until], pre=depth > 0)
        text.number += page.count("\n", at, until)
        if match is None:
            break
        at = match.end()
        closing, element = match.group(1) == "/", (match.group(2) or "").lower()
        if match.group() == "<!--":
            end = page.find("-->", at)
            at = end + 3 if end >= 0 else len(page)
        elif unseen:
            unseen = "" if closing and element == unseen else unseen
        elif element in _UNSEEN:
            unseen = "" if closing else element
        elif element in blocks or element == "br":
            text.end(always=element == "br")
            if element == "pre":
                depth = max(0, depth - 1) if closing else depth + 1
        elif element and element not in inline:
            text.add(match.group(), pre=depth > 0)
        text.number += page.count("\n", match.start(), at)
    text.end()
    return text.lines


class _Text:
    """Lines as they grow."""

    def __init__(self, name: str) -> None:
        self.lines: list[Line] = []
        self.number = 1
        """Line of the file that has been reached."""
        self._name = name
        self._line: list[str] = []
        self._at = 1
        self._pre = False

    def add(self, raw: str, *, pre: bool) -> None:
        """More text, which begins at line ``number``."""
        if not pre:
            raw = _BLANKS.sub(" ", raw)
            raw = raw if self._line else raw.removeprefix(" ")
        for number, piece in enumerate(raw.split("\n"), self.number):
            if number > self.number:
                self.end(always=True)
            if not self._line:
                self._at, self._pre = number, pre
            if piece:
                self._line.append(_ENTITY.sub(lambda found: html.unescape(found.group()), piece))

    def end(self, *, always: bool = False) -> None:
        """The line ends; an empty one counts only in ``<pre>`` and at ``<br>``."""
        if not self._line and not always:
            return
        for data in "".join(self._line).encode("utf-8", "surrogateescape").split(b"\n"):
            if not self._pre and HUNK.match(data):
                raise damaged(
                    self._name,
                    self._at,
                    "the page has its diff outside <pre>, where HTML keeps no blanks; give the raw mail "
                    "(lore's `raw` link), or the page saved as text",
                )
            self.lines.append(Line(self._at, data))
        self._line = []
        self._at = self.number
