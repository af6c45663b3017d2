# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user calls a patch, in all its forms, several at once in order: one series.

``git:RANGE`` names commits of a local tree; what exists is a file or a folder; then a Message-ID or a link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import PatchError
from harness.model import Series
from harness.sources import git_range, mail_fetch, patch
from harness.sources.patch_text import printable

_FORMS = "a file or folder, a Message-ID or a link with one, or git:RANGE"


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave."""

    series: Series
    base: str = ""
    """``TREE@COMMIT``: what the first patch stands on, where it is a commit of a local tree."""
    notes: tuple[str, ...] = ()


def read(
    arguments: Sequence[str], *, version: int | None, tree: Path, mails: Path, say: Callable[[str], None]
) -> Given:
    """All ``arguments`` as one series.

    ``version`` is the one to take of a thread that holds several, ``tree`` where ``git:`` looks for commits,
    ``mails`` a folder to keep fetched threads in. PatchError names the argument, or the file and its line.
    """
    given: list[Given] = []
    for argument in _split(arguments):
        if argument.startswith(git_range.PREFIX):
            found = git_range.read(argument.removeprefix(git_range.PREFIX), tree)
            given.append(Given(found.series, found.base, found.notes))
        else:
            given.append(Given(_mails(argument, version, mails, say)))
    if not given:
        raise PatchError(f"no patch named: give {_FORMS}")
    notes = tuple(dict.fromkeys(note for one in given for note in one.notes))
    return Given(_join([one.series for one in given]), given[0].base, notes)


def _split(arguments: Sequence[str]) -> list[str]:
    """Words of ``arguments``: make hands ``PATCH="a b"`` on as one. A path may hold blanks if it exists."""
    words: list[str] = []
    for argument in arguments:
        words += [argument] if _exists(argument) or argument.startswith("<") else argument.split()
    return words


def _exists(name: str) -> bool:
    try:
        return bool(name) and Path(name).expanduser().exists()
    except (OSError, ValueError):
        return False


def _mails(argument: str, version: int | None, mails: Path, say: Callable[[str], None]) -> Series:
    if not _exists(argument):
        wanted = mail_fetch.message_id(argument)
        if wanted or mail_fetch.is_link(argument):
            return patch.read_thread(mail_fetch.fetch(argument, mails, say), wanted, version=version)
        raise PatchError(f"{printable(argument)}: no such file, and no other form of a patch: give {_FORMS}")
    return patch.read(Path(argument).expanduser(), version=version)


def _join(found: Sequence[Series]) -> Series:
    if len(found) == 1:
        return found[0]
    patches = tuple(one for series in found for one in series.patches)
    return Series(patches, f"{patches[0].subject} (and {len(patches) - 1} more)")
