# SPDX-License-Identifier: GPL-2.0-or-later
"""Properties of the reader and of apply: what git made comes back whole, and no input raises but PatchError."""

from __future__ import annotations

import base64
import binascii
import html
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import PatchError
from harness.model import Series
from harness.sources import patch, patch_apply
from harness.sources.patch_head import parse_subject
from harness.sources.patch_html import page_lines
from harness.sources.patch_path import NameProblem, check, check_link
from harness.sources.patch_render import mailbox
from harness.sources.patch_text import printable

MAILS = Path(__file__).resolve().parents[1] / "data" / "mails"
SEEDS = sorted(p for p in (MAILS / "mails").iterdir() if p.is_file() and p.suffix != ".gz")

Tree = Mapping[str, bytes]
quick = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))

NAMES = ["mm/memory.c", "mm/new file.c", "include/linux/mm.h", "Makefile", "arch/arm64/mm/fault.c", "tools/ü.c"]
LINE = st.sampled_from(
    [b"\tint x;", b"}", b"", b"\t\tfoo(bar);", b"-- ", b"--- a/x", b"+++ b/x", b"@@ -1 +1 @@",
     b"diff --git a/x b/x",
     b"From me", b"a = b;", b"x\r", b"  two", b"caf\xc3\xa9", b"\xe9\xa0", b"=3D", b"trailing \t", b"> quoted",
     b"- dash"]
)  # fmt: skip
LINES = st.lists(LINE, max_size=25)
CONTENT = st.builds(lambda lines, end: b"\n".join(lines) + end * bool(lines), LINES, st.sampled_from([b"", b"\n"]))
TREE = st.dictionaries(st.sampled_from(NAMES), CONTENT, max_size=4)
EDITS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2), LINE), max_size=6)


def edited(tree: Tree, edits: Sequence[tuple[int, int, bytes]], other: Tree) -> dict[str, bytes]:
    """``tree`` after a few edits, and with one of the files of ``other`` more or less."""
    after = {}
    for name, content in tree.items():
        lines = content.split(b"\n")
        for at, drop, line in edits:
            lines[at : at + drop] = [line]
        after[name] = b"\n".join(lines)
    for name, content in list(other.items())[:1]:
        if name in after and len(after) > 1:
            del after[name]
        else:
            after[name] = content
    return after


def write(folder: Path, tree: Tree) -> None:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def git_diff(before: Tree, after: Tree, folder: Path, *options: str) -> bytes:
    """What git makes of the change from ``before`` to ``after``."""
    for side, tree in (("a", before), ("b", after)):
        shutil.rmtree(folder / side, ignore_errors=True)
        (folder / side).mkdir()
        write(folder / side, tree)
    done = subprocess.run(
        ["git", "-c", "core.quotePath=true", "diff", "--no-index", "--no-prefix", "--text", *options, "a", "b"],
        cwd=folder, capture_output=True, check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
    )  # fmt: skip
    assert not done.stderr
    return done.stdout


HEADER = b"From: Ada <ada@example.org>\nSubject: [PATCH] A change\nMessage-ID: <1@example.org>\n"


def plain(diff: bytes) -> bytes:
    return HEADER + b"\n" + diff


def quoted_printable(diff: bytes) -> bytes:
    head = b"Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: quoted-printable\n\n"
    lines = (b"Why.\n---\n\n" + diff).split(b"\n")
    # Line by line: as text, b2a_qp would drop a CR that belongs to a line.
    return HEADER + head + b"\n".join(binascii.b2a_qp(line, istext=False) for line in lines)


def base64_encoded(diff: bytes) -> bytes:
    return HEADER + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(b"Why.\n---\n\n" + diff)


def attached(diff: bytes) -> bytes:
    head = b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nSee there.\n--b\nContent-Type: text/x-patch\n'
    return HEADER + head + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(diff) + b"--b--\n"


def crlf(diff: bytes) -> bytes:
    return plain(diff).replace(b"\n", b"\r\n")


def mbox(diff: bytes) -> bytes:
    return b"From ada Mon May 22 06:37:00 2023\n" + plain(diff) + b"-- \n2.39.5\n\n"


def bare(diff: bytes) -> bytes:
    return diff


WRAPS = st.sampled_from([plain, quoted_printable, base64_encoded, attached, crlf, mbox, bare])


@settings(quick, max_examples=70)
@given(TREE, EDITS, TREE, WRAPS, st.sampled_from([(), ("-U1",), ("-U10",), ("-M", "-B")]))
def test_what_git_made_comes_back_as_git_would_apply_it(before, edits, other, wrap, options) -> None:  # type: ignore[no-untyped-def]
    after = edited(before, edits, other)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        diff = git_diff(before, after, folder, *options)
        if not diff:
            return
        file = folder / "x.mbox"
        file.write_bytes(wrap(diff))
        series = patch.read(file)
        changes = patch_apply.apply(folder / "a", series, folder / "scratch")
        result = {**before, **{name: content for name, content in changes.items() if content is not None}}
        for name in [name for name, content in changes.items() if content is None]:
            del result[name]
        assert result == after
        file.write_bytes(mailbox(series))
        assert patch.read(file).patches[0].diff == series.patches[0].diff


def read_bytes(data: bytes) -> Series | None:
    """`patch.read` of a file with ``data``; None for a PatchError, whose message must be fit to print."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "x.mbox")
        file.write_bytes(data)
        try:
            series = patch.read(file)
        except PatchError as error:
            assert error.message.isprintable() and len(error.message) < 2000
            return None
        for one in series.patches:
            for path in one.files:
                assert check(path.encode()) == path
            shown = (one.subject, one.author, one.message_id, one.source, one.base_hint, series.title, *one.notes)
            assert all(text.isprintable() for text in shown)
            assert one.diff
        return series


@settings(quick, max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    read_bytes(data)


TOKENS = [
    b"diff --git a/x b/x\n", b"--- a/x\n", b"+++ b/x\n", b"--- /dev/null\n", b"@@ -1 +1 @@\n",
    b"@@ -1,2 +1,2 @@ f\n", b"@@ -0,0 +1 @@\n", b"+a\n", b"-a\n", b" a\n", b"\n",
    b"\\ No newline at end of file\n", b"-- \n", b"2.39.2\n", b"new file mode 100644\n",
    b"deleted file mode 100644\n", b"rename from x\n", b"rename to y\n", b"old mode 100644\n",
    b"index 1234567..89abcde 100644\n", b"similarity index 90%\n", b"GIT binary patch\n", b'--- "a/\\303"\n',
    b"From x Mon May 22 06:37:00 2023\n", b"From: a\n", b"Subject: [PATCH v2 1/2] b\n",
    b"Subject: =?x?b?=?=\n", b"Content-Type: multipart/mixed; boundary=b\n", b"--b\n", b"--b--\n",
    b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n",
    b"Content-Type: text/plain; charset=\x00; format=flowed\n",
    b"Content-Type: text/plain; name*0*=utf-8''a; name*99999999999999999999*=b\n", b"=3D=\n",
    b"> @@ -1 +1 @@\n", b" 1 file changed, 1 insertion(+)\n", b" x | 1 +\n",
    b"From: a @ 2023-05-22  6:37 UTC (permalink / raw)\n", b"* b\n", b"^ permalink raw reply\n",
    b"\xc2\xa0a\n", b"\xa0a\n", b"a\r\n", b"-----BEGIN PGP SIGNED MESSAGE-----\n",
    b"commit " + b"1" * 40 + b"\n", b"diff --cc x\n", b"*** x\n", b"Content-Type: message/rfc822\n",
    b"\x1f\x8b",
]  # fmt: skip


@settings(quick, max_examples=250)
@given(st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6)), max_size=25))
def test_any_mixture_of_what_mails_are_made_of(tokens: list[bytes]) -> None:
    read_bytes(b"".join(tokens))


DAMAGE = st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=8))


@settings(quick, max_examples=150)
@given(st.sampled_from(SEEDS), st.lists(DAMAGE, max_size=3), st.integers(0, 4))
def test_any_damage_to_a_real_mail(seed: Path, damage: list[tuple[float, int, bytes]], dice: int) -> None:
    data = seed.read_bytes()
    for where, drop, put in damage:
        at = int(where * len(data))
        data = data[:at] + put + data[at + drop :]
    series = read_bytes(data)
    if series is not None and dice == 0:  # git is slow: on one of five only
        with tempfile.TemporaryDirectory() as scratch:
            try:
                changes = patch_apply.apply(MAILS / "base", series, Path(scratch))
            except PatchError as error:
                assert error.message.isprintable()
                return
            assert set(changes) <= set(series.files)


@settings(quick, max_examples=100)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace"))))
def test_a_name_that_is_let_through_stays_in_the_tree(raw: bytes) -> None:
    try:
        name = check(raw)
    except NameProblem as problem:
        assert str(problem).isprintable()
        return
    tree = Path("/tree")
    assert Path(os.path.normpath(tree / name)).is_relative_to(tree) and Path(name).as_posix() == name
    assert ".git" not in {part.lower() for part in Path(name).parts}


@settings(quick, max_examples=100)
@given(st.integers(0, 3), st.lists(st.sampled_from(["..", ".", "a", "b", "", "/"]), min_size=1, max_size=6))
def test_a_link_that_is_let_through_stays_in_the_tree(depth: int, parts: list[str]) -> None:
    path, target = "d/" * depth + "l", "/".join(parts)
    try:
        check_link(path, target.encode())
    except NameProblem:
        return
    assert Path(os.path.normpath(Path("/tree", path).parent / target)).is_relative_to("/tree")


@settings(quick, max_examples=100)
@given(st.text(max_size=200))
def test_subjects_and_shown_text(text: str) -> None:
    assert parse_subject(text).subject.isprintable()
    assert printable(text).isprintable() and len(printable(text)) <= 160
    assert printable(text.encode("utf-8", "replace")).isprintable()


def as_page(text: bytes) -> bytes:
    """``text`` as an archive shows it: escaped, in ``<pre>``, with spans around some lines."""
    lines = [html.escape(line, quote=False) for line in text.decode("utf-8", "surrogateescape").split("\n")]
    shown = [f'<span\nclass="x">{line}</span>' if line[:1] in ("+", "@") else line for line in lines]
    page = "<html><body><p>Archive<pre>" + "\n".join(shown) + "</pre><hr>Bottom</body></html>"
    return page.encode("utf-8", "surrogateescape")


@settings(quick, max_examples=60)
@given(st.lists(st.text(st.sampled_from("a<>&;#x \t+-@/b\"'é\xa0"), max_size=12), max_size=8))
def test_a_page_gives_back_the_text_it_shows(lines: list[str]) -> None:
    text = "\n".join(lines).encode()
    shown = [line.data for line in page_lines(as_page(text), "x.html")]
    assert b"\n".join(shown[1:-1]).rstrip(b"\n") == text.rstrip(b"\n")  # a last empty line is not seen


@settings(quick, max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [
                "<pre>",
                "</pre>",
                "<!--",
                "-->",
                "<br>",
                "<",
                "&lt",
                "&#0;",
                "&#x110000;",
                "<script>",
                "</script>",
                "<a@b>",
                "<p\n>",
                "\n",
                "@@ -1 +1 @@",
                "x",
            ]
        ),
        max_size=15,
    )
)
def test_any_page(tokens: list[str]) -> None:
    read_bytes("".join(["<html>", *tokens]).encode())
