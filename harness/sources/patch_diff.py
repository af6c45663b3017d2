# SPDX-License-Identifier: GPL-2.0-or-later
"""Read unified diffs strictly: every hunk's counts are verified, every name is checked, nothing is guessed.

What comes out is what git is given later (`patch_render`), so that git never sees a byte that was not read here.
Formats: git's "Generating patch text with -p" (diff-generate-patch.txt), and GNU diff's unified format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from harness.sources import patch_path
from harness.sources.patch_hunk import WRAP, Cursor, Hunk, read_hunks
from harness.sources.patch_path import DEV_NULL, NameProblem
from harness.sources.patch_text import Line

_MODE = re.compile(rb"(old mode|new mode|new file mode|deleted file mode) ([0-7]{6})\s*$")
_MOVE = re.compile(rb"(rename|copy) (from|to) (.+)$", re.DOTALL)
_INDEX = re.compile(rb"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{6}))?\s*$")
_SIMILAR = re.compile(rb"(?:dis)?similarity index \d+%")
_BINARY = re.compile(rb"GIT binary patch\s*$|Binary files \S.* and \S.* differ\s*$")
_MAX_BINARY_LINE = 1000
_EMPTY_BLOBS = ("e69de29", "473a0f4")
"""Object ids of an empty file, SHA-1 and SHA-256."""
_MODES = {"100644": "100644", "100664": "100644", "100755": "100755", "100775": "100755", "120000": "120000"}
LINK = "120000"


@dataclass(frozen=True, slots=True)
class FileDiff:
    """What a patch does to one file."""

    line: int
    """Line where it begins in the user's file."""
    old: str | None
    """Path in the tree before; None for a file that it creates."""
    new: str | None
    """Path after; None for a file that it deletes."""
    old_mode: str = ""
    new_mode: str = ""
    """``100644``, ``100755``, ``120000`` (symbolic link), or empty where not said."""
    move: str = ""
    """``rename``, ``copy`` or nothing."""
    index: tuple[str, str] = ("", "")
    """Abbreviated git object ids of the file before and after."""
    hunks: tuple[Hunk, ...] = ()

    @property
    def name(self) -> str:
        """The path to speak of."""
        return self.new or self.old or ""

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(p for p in (self.old, self.new) if p is not None))


@dataclass(frozen=True, slots=True)
class Diff:
    """All file diffs of one patch."""

    files: tuple[FileDiff, ...]
    start: int
    """Index, in the lines that were read, of the first diff: what is before is the message."""
    notes: tuple[str, ...] = ()
    gap: str = ""
    """Set when the hunks' line numbers do not add up: a hunk may be missing. Says where."""


@dataclass(slots=True)
class _Header:
    """What the lines before the hunks say, as raw names."""

    line: int
    git: tuple[bytes, bytes] | None = None
    old: bytes | None = None
    new: bytes | None = None
    old_epoch: bool = False
    new_epoch: bool = False
    modes: dict[str, str] = field(default_factory=dict)
    moves: dict[str, bytes] = field(default_factory=dict)
    move: str = ""
    index: tuple[str, str] = ("", "")
    is_git: bool = False


class _Reader(Cursor):
    """Finds the file diffs in the lines of one mail."""

    def read(self) -> Diff | None:
        """All file diffs. A hunk without a file name is damage, unless the message before them shows it."""
        files: list[FileDiff] = []
        start = orphan = 0
        while (data := self.peek()) is not None:
            begin = self.at
            found = self._file(data)
            if found is not None:
                start = start if files else begin
                files.append(found)
                continue
            if data.startswith(b"@@ -"):
                if files:
                    raise self.damaged("a hunk that follows no file name and no other hunk")
                orphan = orphan or self.number
            self.at += 1
        if files:
            return Diff(tuple(files), start, tuple(self.notes), self.gap)
        if orphan:
            raise self.damaged("a hunk without the name of its file: only part of a patch", orphan)
        return None

    def _file(self, data: bytes) -> FileDiff | None:
        """The file diff at the cursor, which is left after it; None, and the cursor stays, if there is none."""
        begin = self.number
        try:
            header = self._header(data)
            if header is None:
                return None
            hunks = read_hunks(self)
            found = _with_names(header, hunks)
            if (target := _link_target(found)) is not None:
                patch_path.check_link(found.name, target)
        except NameProblem as problem:
            raise self.damaged(str(problem), begin) from None
        if not hunks and _needs_hunks(header):
            raise self.damaged(f"nothing follows the name {found.name}: the patch is cut short", begin)
        return found

    def _header(self, data: bytes) -> _Header | None:
        following = self.peek(1) or b""
        if data.startswith(b"diff --git "):
            return self._git_header(data)
        if data.startswith(b"--- ") and following.startswith(b"+++ "):
            header = _Header(self.number)
            self._markers(header)
            return header
        if data.startswith((b"diff --cc ", b"diff --combined ")):
            raise self.damaged("the diff of a merge; give the merged commits as patches")
        if data.startswith(b"*** ") and following.startswith(b"--- ") and (self.peek(2) or b"")[:4] == b"****":
            raise self.damaged("a context diff; make it again with `git diff` or `diff -u`")
        self._refuse_binary(data)
        return None

    def _refuse_binary(self, data: bytes) -> None:
        if len(data) < _MAX_BINARY_LINE and _BINARY.match(data):
            raise self.damaged("a binary patch; leave that file out, the kernel builds without it")

    def _git_header(self, data: bytes) -> _Header:
        header = _Header(self.number, is_git=True)
        header.git = patch_path.from_git_header(data[len(b"diff --git ") :].rstrip())
        self.at += 1
        following = self.peek() or b""
        if header.git is None and len(data) + len(following) > WRAP and following.startswith(b"b/"):
            self.notes.append(f"line {self.number}: joined a wrapped `diff --git` line")
            self.at += 1
        while (data := self.peek() or b"") and self._extended(header, data):
            self.at += 1
        self._refuse_binary(data)
        if data.startswith(b"--- ") and (self.peek(1) or b"").startswith(b"+++ "):
            self._markers(header)
        elif data.startswith(b"--- "):
            raise self.damaged("`---` without its `+++` line: the patch is cut short")
        return header

    def _extended(self, header: _Header, data: bytes) -> bool:
        """Take one of git's extended header lines."""
        if match := _MODE.match(data):
            mode = _MODES.get(match.group(2).decode())
            if mode is None:
                kind = "a submodule" if match.group(2) == b"160000" else f"mode {match.group(2).decode()}"
                raise self.damaged(f"{kind} cannot be part of a kernel patch")
            header.modes[match.group(1).decode()] = mode
        elif match := _MOVE.match(data):
            raw = match.group(3)
            header.move = match.group(1).decode()
            header.moves[match.group(2).decode()] = patch_path.unquote(raw)[0] if raw.startswith(b'"') else raw
        elif match := _INDEX.match(data):
            header.index = (match.group(1).decode(), match.group(2).decode())
        elif not _SIMILAR.match(data):
            return False
        return True

    def _markers(self, header: _Header) -> None:
        """Take the ``---`` and ``+++`` lines."""
        header.old, header.old_epoch = patch_path.from_marker((self.peek() or b"")[4:])
        header.new, header.new_epoch = patch_path.from_marker((self.peek(1) or b"")[4:])
        self.at += 2
        if not (self.peek() or b"").startswith(b"@@"):
            raise self.damaged("no hunk after the file names: the patch is cut short")


def _needs_hunks(header: _Header) -> bool:
    """Whether the header promises a change of content, or no change at all."""
    if ("old mode" in header.modes) != ("new mode" in header.modes) or not (header.modes or header.move):
        return True
    contents = {side for side in header.index if side.strip("0")}
    return len(contents) > 1 or not all(side.startswith(_EMPTY_BLOBS) for side in contents)


def _with_names(header: _Header, hunks: tuple[Hunk, ...]) -> FileDiff:
    """Names and modes as the header's lines agree on them; NameProblem where they do not."""
    modes = header.modes
    created = "new file mode" in modes or header.old == DEV_NULL
    deleted = "deleted file mode" in modes or header.new == DEV_NULL
    if not header.is_git and len(hunks) == 1:
        created = created or (header.old_epoch and not hunks[0].old_count)
        deleted = deleted or (header.new_epoch and not hunks[0].new_count)
    if created and deleted:
        raise NameProblem("the patch both creates and deletes the file")
    base = FileDiff(
        header.line, None, None,
        modes.get("deleted file mode") or modes.get("old mode", ""),
        modes.get("new file mode") or modes.get("new mode", ""),
        header.move, header.index, hunks,
    )  # fmt: skip
    if header.move:
        if set(header.moves) != {"from", "to"}:
            raise NameProblem(f"a {header.move} without both names: the patch is cut short")
        names = (patch_path.check(header.moves["from"]), patch_path.check(header.moves["to"]))
        return replace(base, old=names[0], new=names[1])
    if (created and any(h.old_count for h in hunks)) or (deleted and any(h.new_count for h in hunks)):
        raise NameProblem("the patch creates or deletes the file, but its hunks keep lines of it")
    name = _one_name(header)
    return replace(base, old=None if created else name, new=None if deleted else name)


def _one_name(header: _Header) -> str:
    """The path of a file that keeps its name."""
    raws = [raw for raw in (header.new, header.old) if raw is not None and raw != DEV_NULL]
    if not raws and header.git is None:
        raise NameProblem("the names in `diff --git` cannot be told apart: the line is damaged")
    pair = header.git or (raws[-1], raws[0])
    level = patch_path.strip_level(*pair)
    names = [patch_path.strip(raw, level) for raw in raws] or [patch_path.strip(pair[1], level)]
    also = [patch_path.strip(raw, level) for raw in pair] if header.git else []
    checked = [patch_path.check(name) for name in (*names, *also)]
    if len(set(checked)) == 1:
        return checked[0]
    if not header.is_git and checked[1] in {checked[0] + end for end in (".orig", "~", ".old", ".bak")}:
        return checked[0]
    raise NameProblem(f"the file has two names, {checked[0]} and {checked[-1]}: the header is damaged")


def _link_target(found: FileDiff) -> bytes | None:
    """What a symbolic link that the diff creates points to."""
    if found.new_mode != LINK or found.old is not None:
        return None
    return b"\n".join(data[1:] for hunk in found.hunks for _, data in hunk.body if data[:1] == b"+")


def find(lines: Sequence[Line], name: str) -> Diff | None:
    """All file diffs in ``lines`` of the file ``name``; None if there are none.

    Quoted text (``> ``) is not looked at: markers count in the first column only. PatchError, with the line,
    for anything that is damaged, cut short, binary, or that would write outside the tree.
    """
    return _Reader(lines, name).read()
