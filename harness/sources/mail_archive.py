# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads out of a local archive of mails, by Message-ID: a public-inbox, mbox files, a Maildir.

A public-inbox of format 2 keeps each mail as the file ``m`` of a commit of its own in ``git/0.git``, ``git/1.git``
and so on, and marks one that was taken out with a commit of the file ``d`` (public-inbox-v2-format(5)); one of
format 1 keeps all mails as files of one tree. Archives are only read. A search reads every mail's header once.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from harness.errors import UserError
from harness.sources import git
from harness.sources.patch_mail import FROM

_FIELD = re.compile(rb"(?im)^(message-id|references|in-reply-to):((?:.*\n[ \t])*.*)$")
_ID = re.compile(rb"<([^<>\s]{1,500})>")
_MBOX = (".mbox", ".mbx", ".mbox.gz", ".eml", ".mail")
_MAX_HEAD = 1 << 20
_MAX_REFERENCES = 100
_MAX_THREAD = 32 << 20
MARK = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"


class _Place(NamedTuple):
    """Where a mail is: a file from ``offset`` to ``end``, or a blob of a repository."""

    store: Path
    offset: int = 0
    end: int = 0
    blob: str = ""


def thread(archive: Path, message_id: str) -> bytes | None:
    """All mails of the thread of ``message_id`` as an mbox, in the archive's order; None if it has no such mail.

    UserError if ``archive`` is none of the known kinds.
    """
    ids: list[tuple[int, _Place]] = []
    groups = _Groups()
    seen: set[int] = set()
    wanted = hash(message_id.encode())
    for place, mail in _mails(archive):
        own, others = _identity(mail)
        if own and hash(own) not in seen:
            seen.add(hash(own))
            ids.append((hash(own), place))
            groups.join(hash(own), (hash(other) for other in others))
    if wanted not in seen:
        return None
    group = groups.of(wanted)
    places = [place for own, place in ids if groups.of(own) == group]
    return _mbox(places, archive, message_id)


class _Groups:
    """Sets of mails that name each other, merged as they grow."""

    def __init__(self) -> None:
        self._above: dict[int, int] = {}

    def of(self, one: int) -> int:
        """What stands for the set of ``one``."""
        top = one
        while (above := self._above.get(top, top)) != top:
            top = above
        while one != top:
            self._above[one], one = top, self._above.get(one, top)
        return top

    def join(self, one: int, others: Iterable[int]) -> None:
        """``one`` and ``others`` are of one thread."""
        for other in others:
            self._above[self.of(other)] = self.of(one)


def _identity(mail: bytes) -> tuple[bytes, list[bytes]]:
    """Message-ID of a mail, and those that it answers."""
    header = mail.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    own = b""
    others: list[bytes] = []
    for name, value in _FIELD.findall(header):
        found = _ID.findall(value)
        if name.lower() == b"message-id":
            own = own or (found[0] if found else b"")
        else:
            others += found
    return own, others[-_MAX_REFERENCES:]


def _mbox(places: Sequence[_Place], archive: Path, message_id: str) -> bytes:
    parts = []
    for place in places:
        mail = _load(place)
        quoted = re.sub(rb"(?m)^(>*From )", rb">\1", mail)
        parts.append(MARK + quoted + (b"" if quoted.endswith(b"\n") else b"\n") + b"\n")
        if sum(map(len, parts)) > _MAX_THREAD:
            raise UserError(f"{archive}: the thread of <{message_id}> is larger than {_MAX_THREAD >> 20} MiB")
    return b"".join(parts)


def _load(place: _Place) -> bytes:
    if place.blob:
        return git.read_bytes(place.store, ["cat-file", "blob", place.blob])
    with _open(place.store) as file:
        file.seek(place.offset)
        return file.read(place.end - place.offset)


def _mails(archive: Path) -> Iterator[tuple[_Place, bytes]]:
    """Every mail of the archive; of one in an mbox, its beginning at least up to the body."""
    try:
        found = list(_stores(archive, 0))
    except OSError as error:
        raise UserError(f"{archive}: cannot be read: {error.strerror}") from error
    if not found:
        raise UserError(
            f"{archive}: no archive of mails: give a public-inbox (a folder with git/0.git in it, or such a "
            "repository), an mbox file, a folder of them, or a Maildir"
        )
    for store in found:
        try:
            yield from _of_repository(store) if store.is_dir() else _of_file(store)
        except (OSError, EOFError) as error:
            raise UserError(f"{store}: cannot be read: {error}") from error


def _stores(path: Path, depth: int) -> Iterator[Path]:
    """Repositories and files of mails at ``path``."""
    if path.is_file() or git.is_repository(path):
        yield path
    elif (path / "git").is_dir():
        epochs = [p for p in (path / "git").iterdir() if re.fullmatch(r"\d+\.git", p.name)]
        yield from sorted(epochs, key=lambda p: int(p.stem))
    elif (path / "cur").is_dir() and (path / "new").is_dir():
        yield from sorted(p for name in ("cur", "new") for p in (path / name).iterdir() if p.is_file())
    elif depth < 2:
        for inner in sorted(path.iterdir()):
            if inner.is_dir() or inner.name.endswith(_MBOX):
                yield from _stores(inner, depth + 1)


def _of_file(path: Path) -> Iterator[tuple[_Place, bytes]]:
    """Mails of an mbox; a file that is none is one mail."""
    start = at = 0
    head, in_body, blank = bytearray(), False, True
    with _open(path) as file:
        for line in file:
            empty = not line.strip()
            if blank and FROM.match(line):
                if head:
                    yield _Place(path, start, at), bytes(head)
                start, in_body = at + len(line), False
                head.clear()
            elif not in_body and len(head) < _MAX_HEAD:
                in_body = empty and bool(head)
                head += line
            at += len(line)
            blank = empty
    if head:
        yield _Place(path, start, at), bytes(head)


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else path.open("rb")  # type: ignore[return-value]


def _of_repository(repository: Path) -> Iterator[tuple[_Place, bytes]]:
    with tempfile.TemporaryFile() as names:
        for blob in _blobs(repository):
            names.write(blob.encode() + b"\n")
        names.seek(0)
        argv = git.command(repository, ["cat-file", "--batch", "--buffer"])
        with subprocess.Popen(argv, stdin=names, stdout=subprocess.PIPE, env=git.environment()) as process:
            assert process.stdout is not None
            while head := process.stdout.readline().split():
                if len(head) < 3 or not head[2].isdigit():
                    continue
                mail = process.stdout.read(int(head[2]))
                process.stdout.read(1)
                yield _Place(repository, blob=head[0].decode()), mail


def _blobs(repository: Path) -> list[str]:
    """Objects of all mails that the repository has not taken out, oldest first."""
    argv = ["rev-list", "--reverse", "HEAD"]
    commits = git.read_bytes(repository, argv)
    argv = ["diff-tree", "--stdin", "--root", "-r", "-m", "--no-commit-id", "--no-renames", "--no-abbrev", "--raw"]
    found: dict[str, None] = {}
    for line in git.read_bytes(repository, argv, feed=commits).decode("ascii", "replace").splitlines():
        change, _, name = line.partition("\t")
        words = change.split()
        if len(words) != 5:
            continue
        old, new, what = words[2], words[3], words[4]
        if name == "d":
            found.pop(new, None)
        elif what in {"A", "M"}:
            found[new] = None
        elif name != "m":
            found.pop(old, None)
    return list(found)
