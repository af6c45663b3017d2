# SPDX-License-Identifier: GPL-2.0-or-later
"""Write a diff that was read and checked, in git's own form. This text, not the mail's, is what git applies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.model import Series
from harness.sources.patch_diff import FileDiff
from harness.sources.patch_hunk import Hunk
from harness.sources.patch_path import DEV_NULL

_HEX = re.compile(r"[0-9a-f]{7,64}$")


def render(files: Iterable[FileDiff]) -> bytes:
    """``files`` as git writes them, with the prefixes ``a/`` and ``b/``."""
    return b"".join(line + b"\n" for file in files for line in _file(file))


def mailbox(series: Series) -> bytes:
    """``series`` as an mbox that `patch.read` (and ``git am``) reads back to the same patches, in order."""
    return b"".join(_mail(series, number) for number in range(1, len(series.patches) + 1))


def _mail(series: Series, number: int) -> bytes:
    patch = series.patches[number - 1]
    place = f"[PATCH {number}/{len(series.patches)}]" if len(series.patches) > 1 else "[PATCH]"
    head = [
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001",
        f"From: {patch.author or 'unknown <unknown@invalid>'}",
        f"Subject: {place} {patch.subject}",
        *([f"Message-ID: <{patch.message_id}>"] if patch.message_id else []),
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        "---",
        "",
        "",
    ]
    tail = [f"base-commit: {patch.base_hint}"] if _HEX.match(patch.base_hint) else []
    text = "\n".join(head) + patch.diff + "\n".join([*tail, "-- ", "faultloop", "", ""])
    return text.encode("utf-8", "surrogateescape")


def _file(file: FileDiff) -> Iterator[bytes]:
    old, new = file.old or file.name, file.name
    yield f"diff --git a/{old} b/{new}".encode()
    if file.old is None:
        yield b"new file mode " + (file.new_mode or "100644").encode()
    elif file.new is None:
        yield b"deleted file mode " + (file.old_mode or "100644").encode()
    elif file.old_mode and file.new_mode:
        yield b"old mode " + file.old_mode.encode()
        yield b"new mode " + file.new_mode.encode()
    if file.move:
        yield f"{file.move} from {old}".encode()
        yield f"{file.move} to {new}".encode()
    if all(file.index):
        yield f"index {file.index[0]}..{file.index[1]}".encode()
    if file.hunks:
        yield b"--- " + (_marked("a", file.old) if file.old is not None else DEV_NULL)
        yield b"+++ " + (_marked("b", file.new) if file.new is not None else DEV_NULL)
    for hunk in file.hunks:
        yield _header(hunk)
        yield from (data for _, data in hunk.body)


def _marked(prefix: str, name: str) -> bytes:
    """A name with a space is followed by a tab, so that its end is known (as git and GNU diff do)."""
    return f"{prefix}/{name}".encode() + (b"\t" if " " in name else b"")


def _header(hunk: Hunk) -> bytes:
    old, new = f"{hunk.old_start},{hunk.old_count}", f"{hunk.new_start},{hunk.new_count}"
    return f"@@ -{old} +{new} @@".encode() + hunk.heading
