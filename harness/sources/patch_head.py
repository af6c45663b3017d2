# SPDX-License-Identifier: GPL-2.0-or-later
"""What a mail says about its patch besides the diff: subject tags, place in a series, and the base it is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.sources.patch_text import printable

_REPLY = re.compile(r"(?:re|aw|sv|antw|fwd?)\s*(?:\[\d+\]\s*)?:\s*", re.IGNORECASE)
_TAG = re.compile(r"\[([^\[\]]*)\]\s*")
_PLACE = re.compile(r"(\d{1,4})/(\d{1,4})$")
_EDITION = re.compile(r"v(\d{1,3})$", re.IGNORECASE)
_KERNEL = r"v?\d{1,2}\.\d{1,3}(?:\.(?:\d{1,4}|y))?(?:-rc\d{1,2})?|next-\d{8}|linux-next|mm-(?:un)?stable"
_TAG_BASE = re.compile(rf"(?:linux-)?({_KERNEL})$", re.IGNORECASE)
_BASE_COMMIT = re.compile(r"base-commit:\s*([0-9a-f]{7,64})\s*$")
_BASE_WORDS = re.compile(
    r"\b(?:based (?:up)?on|rebased (?:on|onto|to)|on top of|against|appl(?:y|ies)(?: cleanly)? (?:to|on|against))"
    r"(?: top of)?(?: the)?(?: current| latest)?(?: Linux| kernel| mainline| Linus'(?:s)? tree| tree| tag){0,3} "
    rf"({_KERNEL})(?![\w-])",
    re.IGNORECASE,
)
_MAX_LINE = 1000
_MAX_PROSE = 65536


@dataclass(frozen=True, slots=True)
class Head:
    """A subject, taken apart."""

    subject: str
    """Without tags and ``Re:``."""
    reply: bool = False
    is_patch: bool = False
    """It has a tag with ``PATCH`` in it, or ``RFC`` with a place in a series."""
    version: int = 1
    number: int | None = None
    total: int | None = None
    """Place in a series: ``[PATCH 2/5]`` is number 2 of 5; number 0 is the cover letter. None if not said."""
    base: str = ""
    """Kernel named in the tag: ``[PATCH 6.1.y]``."""

    @property
    def place(self) -> str:
        """``v2 3/5``, ``v1``: for messages."""
        return f"v{self.version}" + (f" {self.number}/{self.total}" if self.total is not None else "")


def parse_subject(raw: str) -> Head:
    """Take a subject line apart."""
    text = " ".join(raw.split())
    words: list[str] = []
    reply = False
    while True:
        if match := _REPLY.match(text):
            reply = True
        elif match := _TAG.match(text):
            words += match.group(1).replace(",", " ").split()
        else:
            break
        text = text[match.end() :]
    place = next((m for word in words if (m := _PLACE.match(word))), None)
    edition = next((m for word in words if (m := _EDITION.match(word))), None)
    base = next((m.group(1) for word in words if (m := _TAG_BASE.match(word))), "")
    upper = {word.upper() for word in words}
    return Head(
        subject=printable(text or raw.strip()),
        reply=reply,
        is_patch="PATCH" in upper or ("RFC" in upper and place is not None),
        version=int(edition.group(1)) if edition else 1,
        number=int(place.group(1)) if place else None,
        total=int(place.group(2)) if place else None,
        base=base,
    )


def base_hint(texts: Iterable[str], head: Head) -> str:
    """Commit (``base-commit:``) or kernel that the mail names as its base; empty if it names none.

    ``texts`` are the lines around the diff, not those of the diff.
    """
    prose: list[str] = []
    for text in texts:
        line = text[:_MAX_LINE]
        if match := _BASE_COMMIT.match(line):
            return match.group(1)
        if not line.startswith(">"):
            prose.append(line.strip())
    found = _BASE_WORDS.search(" ".join(prose)[:_MAX_PROSE])
    return found.group(1) if found else head.base
