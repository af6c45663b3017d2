# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of files in a diff: decoding them as git and GNU diff write them, and refusing those that leave the tree.

Sources: git's quote.c (C-style quoting), verify_path() in git's read-cache.c (what git itself refuses), and GNU
diff's ``NAME<TAB>TIMESTAMP`` form.
"""

from __future__ import annotations

import re

DEV_NULL = b"/dev/null"

_TOP = frozenset(
    b"Documentation LICENSES arch block certs crypto drivers fs include init io_uring ipc kernel lib mm net rust "
    b"samples scripts security sound tools usr virt".split()
)
"""Top folders of a kernel tree: a name that starts with one has no prefix to strip."""

_ESCAPES = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_TIME = re.compile(rb"\s+\d{4}-\d\d-\d\d[ T]\d\d:\d\d.*$|\s+(Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} .*\d{4}$")
_EPOCH = re.compile(rb"\s(1970-01-01|1969-12-31)\s")
_MAX_NAME = 4095
_MAX_COMPONENT = 255


class NameProblem(ValueError):
    """A name cannot be read, or may not be written to. The text says why, and shows the name."""


def _unescape(match: re.Match[bytes]) -> bytes:
    what = match.group(1)
    value = int(what, 8) if len(what) == 3 else _ESCAPES.get(what[0], -1)
    if not 0 <= value <= 255:
        raise NameProblem(f"the quoted file name has the unknown escape {match.group(0)!r}")
    return bytes([value])


def unquote(raw: bytes) -> tuple[bytes, bytes]:
    """Decode the C-quoted name at the start of ``raw``; gives the name and what follows it."""
    match = _QUOTED.match(raw)
    if match is None:
        raise NameProblem("the quoted file name has no closing quote")
    return _ESCAPE.sub(_unescape, match.group(1)), raw[match.end() :]


def from_marker(raw: bytes) -> tuple[bytes, bool]:
    """Name in what follows ``--- `` or ``+++ ``, and whether its time stamp is the epoch (no such file)."""
    if raw.startswith(b'"'):
        return unquote(raw)[0], False
    if len(raw) > 2 * _MAX_NAME:
        raise NameProblem("the file name is too long")
    epoch = _EPOCH.search(raw) is not None
    return _TIME.sub(b"", raw.split(b"\t")[0]).rstrip(), epoch


def from_git_header(raw: bytes) -> tuple[bytes, bytes] | None:
    """The two names in what follows ``diff --git ``; None when they cannot be told apart for sure.

    As git does it: without quotes the names are found only when they are the same below their prefixes.
    """
    if raw.startswith(b'"'):
        first, rest = unquote(raw)
        if not rest.startswith(b" "):
            return None
        rest = rest[1:]
        return first, (unquote(rest)[0] if rest.startswith(b'"') else rest)
    if raw.endswith(b'"') and b' "' in raw:
        first, _, rest = raw.partition(b' "')
        return first, unquote(b'"' + rest)[0]
    if len(raw) % 2 == 0:
        return None
    half = len(raw) // 2
    first, second = raw[:half], raw[half + 1 :]
    if raw[half : half + 1] != b" " or (first != second and first.partition(b"/")[2] != second.partition(b"/")[2]):
        return None
    return first, second


def strip_level(old: bytes, new: bytes) -> int:
    """How many leading folders of the names are a prefix: 1 for ``a/mm/x.c b/mm/x.c``, 0 for ``mm/x.c mm/x.c``."""
    heads = {name.partition(b"/")[0] for name in (old, new) if name != DEV_NULL}
    plain = any(b"/" not in name for name in (old, new) if name != DEV_NULL)
    return 0 if plain or (len(heads) == 1 and heads <= _TOP) else 1


def strip(name: bytes, level: int) -> bytes:
    """``name`` without its first ``level`` folders. An absolute name keeps its slash, to be refused by `check`."""
    if level == 0 or name.startswith(b"/"):
        return name
    return name.partition(b"/")[2]


def check(raw: bytes) -> str:
    """``raw`` as a path below the tree; NameProblem if writing to it could leave the tree or fool a reader."""
    shown = raw[:200].decode("utf-8", "backslashreplace").encode("unicode_escape").decode("ascii")
    if not raw or len(raw) > _MAX_NAME:
        raise NameProblem("the file name is empty" if not raw else f"the file name is too long: {shown}...")
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NameProblem(f"the file name is not UTF-8: {shown}") from None
    if not name.isprintable() or "\\" in name or '"' in name:
        raise NameProblem(f"the file name holds control characters, quotes or backslashes: {shown}")
    if name.startswith("/"):
        raise NameProblem(f"the file name is absolute: {name}")
    for part in name.split("/"):
        if part in {"", ".", ".."}:
            raise NameProblem(f"the file name leaves the tree or is not in its plain form: {name}")
        if part.split(":")[0].rstrip(" .").lower() in {".git", "git~1"}:
            raise NameProblem(f"the file name points into git's own folder: {name}")
        if len(part.encode()) > _MAX_COMPONENT:
            raise NameProblem(f"the file name has a part of more than {_MAX_COMPONENT} bytes: {shown}")
    if name.startswith("-"):
        raise NameProblem(f"the file name looks like an option: {name}")
    return name


def check_link(path: str, target: bytes) -> None:
    """Refuse the symbolic link ``path`` -> ``target`` if it points outside the tree."""
    try:
        text = target.decode("utf-8")
    except UnicodeDecodeError:
        raise NameProblem(f"the target of the symbolic link {path} is not UTF-8") from None
    if not text or not text.isprintable() or "\\" in text:
        raise NameProblem(f"the target of the symbolic link {path} is empty or holds control characters")
    parts = text.split("/")
    up = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    # After a name, ".." may climb out of another link's target: only leading ones can be counted.
    if text.startswith("/") or up > path.count("/") or ".." in parts[up:]:
        raise NameProblem(f"the symbolic link {path} points outside the tree: {text}")
