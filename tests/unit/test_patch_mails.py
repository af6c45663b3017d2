# SPDX-License-Identifier: GPL-2.0-or-later
"""The corpus of good, odd and damaged mails in tests/data/mails, and the real threads: from file to tree."""

from __future__ import annotations

import base64
import gzip
import html
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import PatchError
from harness.sources import patch, patch_apply
from harness.sources.patch_html import page_lines
from harness.sources.patch_render import mailbox

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "mails"
THREADS = ROOT.parent / "shared" / "threads"
EXPECTED: Mapping[str, Mapping[str, Any]] = yaml.safe_load((DATA / "expected.yaml").read_text(encoding="utf-8"))
GOOD = sorted(name for name, want in EXPECTED.items() if "error" not in want)
BAD = sorted(name for name, want in EXPECTED.items() if "error" in want)


def files_of(tree: Path) -> dict[str, tuple[str, bytes]]:
    """Path -> kind and content of every file of ``tree``."""
    found: dict[str, tuple[str, bytes]] = {}
    for path in tree.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(tree))] = ("link", str(path.readlink()).encode())
        elif path.is_file():
            kind = "program" if path.stat().st_mode & 0o100 else "file"
            found[str(path.relative_to(tree))] = (kind, path.read_bytes())
    return found


def patched(tree: Path, changes: patch_apply.Changes) -> dict[str, tuple[str, bytes]]:
    """`files_of` the tree as ``changes`` make it."""
    found = files_of(tree)
    kinds = {0o100644: "file", 0o100755: "program", 0o120000: "link"}
    for path, content in changes.items():
        if content is None:
            del found[path]
        else:
            found[path] = (kinds[changes.modes[path]], content)
    return found


def test_the_corpus_is_large_enough_and_complete() -> None:
    names = {path.name for path in (DATA / "mails").iterdir()}
    assert names == set(EXPECTED), "each mail needs its expected result"
    assert len(BAD) >= 25 and len(GOOD) >= 25


@pytest.mark.parametrize("name", GOOD)
def test_good_and_odd_mails(name: str, tmp_path: Path) -> None:
    want = EXPECTED[name]
    series = patch.read(DATA / "mails" / name)
    first = series.patches[0]
    assert len(series.patches) == want.get("patches", 1)
    for field in ("subject", "author", "message_id", "base_hint"):
        assert getattr(first, field) == want.get(field, getattr(first, field))
    if "files" in want:
        assert list(series.files) == want["files"]
    if "subjects" in want:
        assert [p.subject for p in series.patches] == want["subjects"]
    if "title" in want:
        assert series.title == want["title"]
    if "hunks" in want:
        assert len(first.hunks) == want["hunks"]
    notes = "\n".join(note for p in series.patches for note in p.notes)
    assert re.search(want.get("note", "^$"), notes), notes

    before = files_of(DATA / "base")
    changes = patch_apply.apply(DATA / "base", series, tmp_path / "scratch")
    assert patched(DATA / "base", changes) == files_of(DATA / "after" / want["after"])
    assert re.search(want.get("apply_note", "^$"), "\n".join(changes.notes))
    assert not changes.offsets
    assert files_of(DATA / "base") == before, "the tree was written to"


def in_plain_sight(name: str) -> bool:
    """Whether the hunks of a mail stand in its file as they are, each on a line of its own."""
    path = DATA / "mails" / name
    data = path.read_bytes() if path.is_file() else b""
    return path.is_file() and name != "br.html" and path.suffix != ".gz" and b"base64" not in data


@pytest.mark.parametrize("name", list(filter(in_plain_sight, GOOD)))
def test_hunk_lines_are_those_of_the_users_file(name: str) -> None:
    path = DATA / "mails" / name
    series = patch.read(path)
    lines = path.read_bytes().replace(b"\xc2\xa0", b" ").replace(b"\xa0", b" ").split(b"\n")
    for one in series.patches:
        headers = [line for line in one.diff.encode("utf-8", "surrogateescape").split(b"\n") if line[:2] == b"@@"]
        assert len(headers) == len(one.hunks)
        for header, number in zip(headers, one.hunks, strict=True):
            assert re.sub(rb"^\S*>", b"", lines[number - 1].split(b"@@")[0]) == header.split(b"@@")[0]
            numbers = header.split(b"@@")[1].replace(b",1 ", b" ")
            assert lines[number - 1].split(b"@@")[1].replace(b",1 ", b" ") == numbers


def test_hunk_lines_in_base64_are_those_of_the_encoded_text() -> None:
    path = DATA / "mails" / "base64.eml"
    raw = path.read_bytes().split(b"\n")
    start = raw.index(b"") + 1
    text = base64.b64decode(b"".join(raw[start:]))
    headers = [match.start() for match in re.finditer(rb"(?m)^@@", text)]
    (only,) = patch.read(path).patches
    assert len(headers) == len(only.hunks)
    for at, number in zip(headers, only.hunks, strict=True):
        before = len(base64.b64decode(b"".join(raw[start : number - 1])))
        assert before <= at < before + len(base64.b64decode(raw[number - 1]))


@pytest.mark.parametrize("name", GOOD)
def test_a_series_is_read_back_from_its_own_mailbox(name: str, tmp_path: Path) -> None:
    series = patch.read(DATA / "mails" / name)
    again = tmp_path / "series.mbox"
    again.write_bytes(mailbox(series))
    read = patch.read(again)
    for field in ("diff", "author", "message_id", "files"):
        expected = [getattr(p, field) for p in series.patches]
        if field == "author":
            expected = [author or "unknown <unknown@invalid>" for author in expected]
        assert [getattr(p, field) for p in read.patches] == expected


@pytest.mark.parametrize("name", BAD)
def test_bad_mails_give_one_clear_error(name: str, tmp_path: Path) -> None:
    want = EXPECTED[name]
    path = DATA / "mails" / name
    with pytest.raises(PatchError) as caught:
        patch_apply.apply(DATA / "base", patch.read(path), tmp_path)
    message = caught.value.message
    assert message.startswith(str(path)), message
    assert re.search(want["error"], message), message
    assert "\n" not in message and message.isprintable()
    if "line" in want:
        assert message.startswith(f"{path}:{want['line']}: "), message


@pytest.mark.parametrize("cut", range(5, 60))
def test_a_mail_cut_anywhere_is_never_taken_for_whole(cut: int, tmp_path: Path) -> None:
    lines = (DATA / "mails" / "format-patch.patch").read_bytes().splitlines(keepends=True)
    whole = patch.read(DATA / "mails" / "format-patch.patch")
    path = tmp_path / "cut.patch"
    path.write_bytes(b"".join(lines[:cut]))
    last_of_diff = next(i for i, line in enumerate(lines) if line == b"-- \n")
    if cut >= last_of_diff:
        assert patch.read(path).patches[0].diff == whole.patches[0].diff
    else:
        with pytest.raises(PatchError):
            patch.read(path)


def test_a_version_can_be_asked_for() -> None:
    path = DATA / "mails" / "versions.mbox"
    assert "DEMO_UPGRADE\t0x4" in patch.read(path).patches[0].diff
    assert "DEMO_UPGRADE\t0x8" in patch.read(path, version=1).patches[0].diff
    with pytest.raises(PatchError, match="no version 3 in it; it holds v1, v2"):
        patch.read(path, version=3)


def test_unreadable_and_odd_files(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match=r"nowhere\.patch: cannot be read: No such file"):
        patch.read(tmp_path / "nowhere.patch")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(PatchError, match="not a regular file"):
        patch.read(fifo)
    with pytest.raises(PatchError, match="cannot be read"):
        patch.read(tmp_path / ("x" * 300))
    with pytest.raises(PatchError, match="cannot be read"):
        patch.read(Path("a\0b"))


def test_files_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.patch"
    with path.open("wb") as file:
        file.truncate(1 << 38)  # sparse: only its first part may be read
    with pytest.raises(PatchError, match="larger than 32 MiB"):
        patch.read(path)
    path.write_bytes(b"\n" * 1_100_000)
    with pytest.raises(PatchError, match="more than 500000 lines"):
        patch.read(path)


def test_too_many_lines_in_an_encoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.eml"
    head = b"From: a\nSubject: b\nContent-Transfer-Encoding: "
    path.write_bytes(head + b"base64\n\n" + base64.b64encode(b"\n" * 600_000) + b"\n")
    with pytest.raises(PatchError, match="more than 500000 lines in base64"):
        patch.read(path)
    path.write_bytes(head + b"quoted-printable\n\n" + b"=0a" * 600_000 + b"\n")
    with pytest.raises(PatchError, match="more than 500000 encoded line ends"):
        patch.read(path)


@pytest.mark.parametrize(
    "head",
    [
        "From: a\nSubject: b\nContent-Type: message/rfc822\n\n",
        "From: a\nSubject: b\nContent-Type: multipart/mixed; boundary={}\n\n--{}\n",
    ],
)
def test_mails_in_mails_without_end(head: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.eml"
    end = "".join(f"--{n}--\n" for n in reversed(range(2000)))
    path.write_text("".join(head.format(n, n) for n in range(2000)) + "\n" + end)
    with pytest.raises(PatchError, match="MIME parts nested too deeply"):
        patch.read(path)


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"a" * (patch.MAX_BYTES * 2), compresslevel=1))
    with pytest.raises(PatchError, match="larger than 32 MiB"):
        patch.read(path)


needs_threads = pytest.mark.skipif(
    not THREADS.is_dir(), reason="the real threads are not there (../shared/threads)"
)


def test_what_is_no_element_of_html_stays_text() -> None:
    page = b'<html>\n<script>"</title>@@ -1 +1 @@"</script><p>a\n b'
    page += b"<pre>\n+#include <linux/mm.h>\n+A-by: <a@b.org> &lt;"
    shown = [(line.number, line.data) for line in page_lines(page, "x.html") if line.data]
    assert shown == [(2, b"a b"), (4, b"+#include <linux/mm.h>"), (5, b"+A-by: <a@b.org> <")]


@needs_threads
def test_the_real_thread_as_html_gives_the_same() -> None:
    text = THREADS / "2023-05-22-notify-on-pte-permission-upgrades-v1.txt"
    shown = html.escape(text.read_text(encoding="utf-8"))
    lines = page_lines(f"<html><body><pre>{shown}</pre>".encode(), text.name)
    assert [line.data for line in lines] == text.read_bytes().splitlines()
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))


@needs_threads
def test_the_real_thread_gives_v1() -> None:
    series = patch.read(THREADS / "2023-05-22-notify-on-pte-permission-upgrades-v1.txt")
    (only,) = series.patches
    assert only.subject == series.title == "mmu_notifiers: Notify on pte permission upgrades"
    assert only.author == "Alistair Popple"
    assert only.files == ("include/linux/mmu_notifier.h", "mm/hugetlb.c", "mm/memory.c")
    assert only.source.endswith("v1.txt:3")
    assert only.hunks[0] == 60 and only.hunks[-1] == 232 and len(only.hunks) == 15
    added = [line for line in only.diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    removed = [line for line in only.diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert (len(added), len(removed)) == (72, 3)
    assert only.notes == () and only.base_hint == ""


@needs_threads
@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("2017-08-30-rmap-update-to-new-mmu-notifier-semantic", 118, "only quotes hunks of a patch"),
        ("2019-04-17-apply-to-pfn-range", 17, "only quotes lines of a patch"),
        ("2023-07-21-call-invalidate-range-when-invalidating-tlbs-v3", 42, "quotes the message and the diffstat"),
        ("2025-04-14-fix-lazy-mmu-mode-v2", 1, "lost its line ends"),
    ],
)
def test_real_threads_without_a_whole_patch_say_so(name: str, line: int, says: str) -> None:
    path = THREADS / f"{name}.txt"
    with pytest.raises(PatchError) as caught:
        patch.read(path)
    assert caught.value.message.startswith(f"{path}:{line}: no whole patch in it: ")
    assert says in caught.value.message
