# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches as people name them: several at once, Message-IDs, links, local archives, commits of a tree."""

from __future__ import annotations

import gzip
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.errors import InfrastructureError, PatchError, UserError
from harness.sources import git_range, mail_archive, mail_fetch, patch, patch_apply, patch_input
from harness.sources.patch_render import mailbox

MAILS = Path(__file__).resolve().parents[1] / "data" / "mails"
BASE = MAILS / "base"
FIX = MAILS / "mails" / "format-patch.patch"
OTHER = MAILS / "mails" / "rename.patch"

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def git(tree: Path, *argv: str, feed: bytes | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(tree), *argv],
        check=True,
        capture_output=True,
        input=feed,
        env={**os.environ, **IDENTITY},
    )
    return done.stdout.decode().strip()


def read(*arguments: str, tree: Path = BASE, mails: Path = BASE, version: int | None = None) -> patch_input.Given:
    return patch_input.read(arguments, version=version, tree=tree, mails=mails, say=lambda _: None)


def test_several_in_order() -> None:
    given = read(str(OTHER), str(FIX))
    assert [p.diff for p in given.series.patches] == [patch.read(f).patches[0].diff for f in (OTHER, FIX)]
    assert given.series.title.endswith("(and 1 more)") and given.base == ""
    assert read(f"{OTHER} {FIX}").series == given.series, "make hands PATCH='a b' on as one word"


def test_a_path_may_hold_blanks(tmp_path: Path) -> None:
    path = tmp_path / "my fix.patch"
    path.write_bytes(FIX.read_bytes())
    assert read(str(path)).series.patches[0].diff == patch.read(FIX).patches[0].diff


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("nowhere.patch", r"nowhere\.patch: no such file, and no other form of a patch"),
        ("a@b.mbox", r"a@b\.mbox: no such file"),
        ("", "no patch named"),
        ("https://lkml.org/lkml/2023/5/22/1", "no Message-ID in this link"),
        ("\x1b[2J", r"no such file"),
        ("x\0y", r"no such file"),
    ],
)
def test_what_is_no_patch(argument: str, says: str) -> None:
    with pytest.raises(PatchError, match=says) as caught:
        read(argument)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<1-a@b.org>", "1-a@b.org"),
        ("1-a@b.org", "1-a@b.org"),
        ("mid:1-a@b.org", "1-a@b.org"),
        ("https://lore.kernel.org/linux-mm/1-a@b.org/", "1-a@b.org"),
        ("https://lore.kernel.org/all/1-a%40b.org/T/#u", "1-a@b.org"),
        ("https://lore.kernel.org/r/1-a@b.org", "1-a@b.org"),
        ("https://patchwork.example.org/project/linux-mm/patch/1-a@b.org/", "1-a@b.org"),
        ("../x@y", ""),
        ("-o@b", "-o@b"),
        ("a b@c", ""),
        ("https://a@b.org/", ""),
    ],
)
def test_message_ids(text: str, wanted: str) -> None:
    assert mail_fetch.message_id(text) == wanted


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["test-patch", "nowhere.patch"], "faultloop: nowhere.patch: no such file"),
        (["test", "--tree", "{tree}", "HEAD~1..HEAD~1"], "no commit in this range"),
    ],
)
def test_the_command_says_it_in_one_message_with_status_2(words: list[str], says: str, tree: Path) -> None:
    argv = [sys.executable, "-P", "-m", "harness", *(word.format(tree=tree) for word in words)]
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root), "FAULTLOOP_CACHE": str(tree.parent / "cache")}
    done = subprocess.run(argv, env=env, cwd=tree, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "") and says in done.stderr and "Traceback" not in done.stderr
    assert not (tree / "results").exists()


# --- commits of a tree ----------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with two commits on a base: one changes, one renames a file and makes a program of another."""
    made = tmp_path / "linux"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    (made / "mm").mkdir()
    (made / "mm" / "a.c").write_text("".join(f"line {n}\n" if n != 9 else "\n" for n in range(30)))
    (made / "run.sh").write_text("#!/bin/sh\n")
    git(made, "add", "-A")
    git(made, "commit", "-q", "-m", "base")
    (made / "mm" / "a.c").write_text((made / "mm" / "a.c").read_text().replace("line 7\n", "\nline seven é\n"))
    git(made, "commit", "-q", "-am", "mm: [x] Change é\n\nbase-commit: 1234567\n")
    git(made, "mv", "mm/a.c", "mm/b.c")
    (made / "run.sh").chmod(0o755)
    git(made, "commit", "-q", "-am", "mm: Rename")
    return made


def everything(tree: Path) -> dict[str, tuple[int, bytes]]:
    """Each file of a tree and its repository, with time of change and content."""
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in tree.rglob("*") if p.is_file()}


def test_commits_with_the_one_below_as_base(tree: Path, tmp_path: Path) -> None:
    before = everything(tree)
    found = git_range.read("HEAD~2..", tree / "mm")
    assert found.base == f"{tree}@{git(tree, 'rev-parse', 'HEAD~2')}"
    assert [p.subject for p in found.series.patches] == ["mm: [x] Change é", "mm: Rename"]
    assert found.series.patches[0].author == "Ada <ada@example.org>"
    assert found.series.patches[1].files == ("mm/a.c", "mm/b.c", "run.sh")
    assert found.notes == ()
    assert everything(tree) == before
    git(tmp_path, "clone", "-q", str(tree), "base")
    git(tmp_path / "base", "checkout", "-q", "HEAD~2")
    changes = patch_apply.check(tmp_path / "base", found.series)
    assert changes["mm/b.c"] == (tree / "mm" / "b.c").read_bytes() and changes["mm/a.c"] is None
    assert changes.modes["run.sh"] == 0o100755


def test_reading_a_dirty_tree_writes_nothing_and_says_what_is_not_tested(tree: Path) -> None:
    (tree / "mm" / "b.c").write_text("other\n")
    (tree / "new.c").write_text("new\n")
    os.utime(tree / "run.sh", ns=(1, 1))  # git would like to write this into its index
    before = everything(tree)
    found = git_range.read("HEAD", tree)
    assert everything(tree) == before
    assert found.notes == (f"{tree} has 2 files that are not committed: that is not tested",)
    assert [p.subject for p in found.series.patches] == ["mm: Rename"]
    assert found.base.endswith(git(tree, "rev-parse", "HEAD~1"))


def test_the_users_configuration_does_not_change_the_diff(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = git_range.read("HEAD~2..", tree).series
    for setting in (
        "diff.noprefix=true", "diff.external=false", "diff.suppressBlankEmpty=true", "color.ui=always",
        "log.showSignature=true", "diff.renames=false", "core.fsmonitor=false-no-such-program",
    ):  # fmt: skip
        git(tree, "config", *setting.split("=", 1))
    (tree / ".git" / "info" / "attributes").write_text("*.c diff=up\n")
    git(tree, "config", "diff.up.textconv", "tr a-z A-Z <")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git_range.read("HEAD~2..", tree).series == plain


def test_the_same_change_twice_stays_twice(tree: Path) -> None:
    git(tree, "revert", "--no-edit", "HEAD")
    git(tree, "revert", "--no-edit", "HEAD")
    found = git_range.read("HEAD~3..", tree)
    assert len(found.series.patches) == 3
    assert found.series.patches[0].diff == found.series.patches[2].diff
    kept = tree.parent / "series.patch"  # as a results folder keeps it
    kept.write_bytes(mailbox(found.series))
    assert [p.diff for p in patch.read(kept).patches] == [p.diff for p in found.series.patches]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("HEAD..HEAD", "no commit in this range"),
        ("nonsense..", "git knows no commit 'nonsense' there"),
        ("HEAD...main", "not a range"),
        ("--output=x", "not a range"),
        ("", "not a range"),
        ("HEAD~2", r"nothing is below \w+ here"),
    ],
)
def test_ranges_that_are_none(tree: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        git_range.read(text, tree)


def test_merges_and_empty_commits_are_refused(tree: Path) -> None:
    git(tree, "commit", "-q", "--allow-empty", "-m", "nothing")
    with pytest.raises(PatchError, match="'nothing' changes no file"):
        git_range.read("HEAD", tree)
    git(tree, "checkout", "-q", "-b", "side", "HEAD~2")
    (tree / "c.c").write_text("x\n")
    git(tree, "add", "c.c")
    git(tree, "commit", "-q", "-m", "side")
    git(tree, "merge", "-q", "-m", "merge", "main")
    with pytest.raises(PatchError, match="is a merge; give a range without merges"):
        git_range.read("HEAD~1..", tree)


def test_a_folder_that_is_no_tree(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not in a git tree"):
        git_range.read("HEAD", tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        git_range.read("HEAD", tmp_path / "nowhere")


# --- archives -------------------------------------------------------------------------------------------------


def mail(subject: str, own: str, answers: str = "", body: bytes = b"Words.\n") -> bytes:
    head = f"From: Ada <ada@example.org>\nDate: Mon, 22 May 2023 06:37:00 +0000\nSubject: {subject}\n"
    head += f"Message-Id:\n <{own}>\n" + (f"References: <root@x>\n\t<{answers}>\n" if answers else "")
    return head.encode() + b"\n" + body


DIFF = FIX.read_bytes()[FIX.read_bytes().index(b"---\n") :]
CHANGED = DIFF.replace(b"DEMO_UPGRADE\t0x4", b"DEMO_UPGRADE\t0x8")
THREAD = [
    mail("[PATCH 0/1] Cover", "c@x", body=b"It is based on v6.2.\n\nFrom me Mon May 22 06:37:00 2023\n"),
    mail("[PATCH 1/1] Fix", "p@x", "c@x", b"Why.\n" + DIFF),
    mail("Re: [PATCH 1/1] Fix", "r@x", "p@x", b"> Why.\n\nBecause.\n"),
    mail("[PATCH v2] Fix", "v2@x", "r@x", b"Why.\n" + CHANGED),
    mail("Re: [PATCH v2] Fix", "inline@x", "v2@x", b"Rather:\n\n" + DIFF),
]
ALIEN = [mail("[PATCH] Alien", "alien@x", body=b"Why.\n" + DIFF), mail("No patch", "none@x")]


def as_mbox(path: Path, mails: Sequence[bytes]) -> Path:
    path.write_bytes(b"".join(b"From x Mon May 22 06:37:00 2023\n" + m.replace(b"\nFrom ", b"\n>From ") + b"\n"
                              for m in mails))  # fmt: skip
    return path


def as_zipped(path: Path, mails: Sequence[bytes]) -> Path:
    zipped = path.with_suffix(".mbox.gz")
    zipped.write_bytes(gzip.compress(as_mbox(path, mails).read_bytes()))
    return zipped


def as_folder(path: Path, mails: Sequence[bytes]) -> Path:
    path.mkdir()
    (path / "README").write_text("nothing\n")
    for number, one in enumerate(mails):
        as_mbox(path / f"{number}.mbox", [one])
    return path


def as_maildir(path: Path, mails: Sequence[bytes]) -> Path:
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    for number, one in enumerate(mails):
        (path / ("cur" if number % 2 else "new") / f"{number}.x:2,S").write_bytes(one)
    return path


def commit_file(repository: Path, name: str, content: bytes, keep: Sequence[str] = ()) -> None:
    """A commit whose tree holds ``name`` (and the entries ``keep``) only, as public-inbox makes them."""
    blob = git(repository, "hash-object", "-w", "--stdin", feed=content)
    made = git(
        repository, "mktree", feed="".join(f"{line}\n" for line in [*keep, f"100644 blob {blob}\t{name}"]).encode()
    )
    parent = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "-q", "--verify", "HEAD"], capture_output=True
    )
    above = ["-p", parent.stdout.decode().strip()] if parent.returncode == 0 else []
    git(repository, "update-ref", "HEAD", git(repository, "commit-tree", made, "-m", "mail", *above))


def as_inbox(path: Path, mails: Sequence[bytes]) -> Path:
    """A public-inbox of format 2, of two epochs; the mail ``gone@x`` was taken out of it."""
    gone = mail("[PATCH v3] Fix", "gone@x", "r@x", b"Why.\n" + DIFF)
    for epoch in ("0", "2", "10"):
        repository = path / "git" / f"{epoch}.git"
        repository.mkdir(parents=True)
        git(repository, "init", "-q", "--bare")
    for one in mails[:2]:
        commit_file(path / "git" / "0.git", "m", one)
    commit_file(path / "git" / "0.git", "m", gone)
    commit_file(path / "git" / "0.git", "d", gone)
    for one in mails[2:4]:
        commit_file(path / "git" / "2.git", "m", one)
    for one in mails[4:]:
        commit_file(path / "git" / "10.git", "m", one)
    return path


def as_old_inbox(path: Path, mails: Sequence[bytes]) -> Path:
    """A public-inbox of format 1: a tree of files."""
    path.mkdir()
    git(path, "init", "-q", "--bare")
    for number, one in enumerate(mails):
        kept = git(path, "ls-tree", "HEAD").splitlines() if number else []
        commit_file(path, f"{number:040x}", one, kept)
    return path


ARCHIVES: list[Callable[[Path, Sequence[bytes]], Path]] = [
    as_mbox, as_zipped, as_folder, as_maildir, as_inbox, as_old_inbox,
]  # fmt: skip


@pytest.mark.parametrize("make", ARCHIVES)
def test_a_thread_out_of_each_kind_of_archive(
    make: Callable[[Path, Sequence[bytes]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make(tmp_path / "archive", [ALIEN[0], *THREAD, ALIEN[1]])
    before = everything(archive) if archive.is_dir() else {}
    monkeypatch.setenv(mail_fetch.VARIABLE, f"{as_mbox(tmp_path / 'other', ALIEN)}:{archive}")
    given = read("<r@x>", mails=tmp_path / "kept")
    (only,) = given.series.patches
    assert (only.subject, only.message_id) == ("Fix", "v2@x") and "DEMO_UPGRADE\t0x8" in only.diff
    kept = Path(only.source.rpartition(":")[0])
    assert kept.parent == tmp_path / "kept" and kept.read_bytes().count(mail_archive.MARK) == len(THREAD)
    assert kept.read_bytes().count(b"\nFrom ") == len(THREAD) - 1, "one mail was taken for two"
    if make is not as_maildir:  # its files have no order
        order = [
            kept.read_bytes().index(f"\n <{own}>".encode()) for own in ("c@x", "p@x", "r@x", "v2@x", "inline@x")
        ]
        assert order == sorted(order)
    assert (everything(archive) if archive.is_dir() else {}) == before


@pytest.mark.parametrize(
    ("asked", "version", "subject", "found", "hint"),
    [
        ("c@x", None, "Cover", "p@x", "v6.2"),
        ("p@x", None, "Cover", "p@x", "v6.2"),
        ("c@x", 2, "Fix", "v2@x", ""),
        ("v2@x", None, "Fix", "v2@x", ""),
        ("r@x", None, "Fix", "v2@x", ""),
        ("r@x", 1, "Cover", "p@x", "v6.2"),
        ("inline@x", None, "Fix", "inline@x", ""),
    ],
)
def test_the_mail_that_is_named_decides(
    asked: str, version: int | None, subject: str, found: str, hint: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(mail_fetch.VARIABLE, str(as_mbox(tmp_path / "all.mbox", THREAD)))
    series = read(asked, mails=tmp_path / "kept", version=version).series
    (only,) = series.patches
    assert (series.title, only.message_id, only.base_hint) == (subject, found, hint)
    newer = any("the thread holds v2 too (VERSION=2)" in note for note in only.notes)
    assert newer == (asked in {"c@x", "p@x"} and version is None)


def test_a_thread_without_a_patch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mail_fetch.VARIABLE, str(as_mbox(tmp_path / "all.mbox", ALIEN)))
    with pytest.raises(PatchError, match=r"mbox:\d+: no whole patch in it"):
        read("none@x", mails=tmp_path / "kept")


def test_archives_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, says in ((tmp_path / "empty", "no archive of mails"), (tmp_path / "nowhere", "cannot be read")):
        with pytest.raises(UserError, match=says):
            mail_archive.thread(path, "a@b")
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(UserError, match="cannot be read"):
        mail_archive.thread(tmp_path / "x.gz", "a@b")


# --- b4 -------------------------------------------------------------------------------------------------------


class Archive(http.server.BaseHTTPRequestHandler):
    """The part of lore.kernel.org that b4 asks, with one thread."""

    def do_GET(self) -> None:
        mbox = b"".join(mail_archive.MARK + m + b"\n" for m in THREAD)
        found = self.path in {"/all/p%40x/t.mbox.gz", "/all/p@x/t.mbox.gz"}
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(gzip.compress(mbox) if found else b"")

    do_HEAD = do_GET  # noqa: N815 - the name that the class above looks for

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def lore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of such an archive on this host."""
    for name, value in (("HOME", tmp_path), ("XDG_CACHE_HOME", tmp_path), ("XDG_DATA_HOME", tmp_path)):
        monkeypatch.setenv(name, str(value))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", mail_fetch.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    server = http.server.HTTPServer(("127.0.0.1", 0), Archive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_link_through_b4_and_again_without_the_network(lore: str, tmp_path: Path) -> None:
    link = f"{lore}/all/p@x/"
    (only,) = read(link, mails=tmp_path / "kept").series.patches
    assert only.message_id == "p@x"
    with pytest.raises(PatchError, match="<q@x>: the archive that b4 asks has no such mail"):
        read(f"{lore}/all/q@x/", mails=tmp_path / "kept")
    said: list[str] = []
    dead = "http://127.0.0.1:9/all/p@x/"
    again = patch_input.read([dead], version=None, tree=BASE, mails=tmp_path / "kept", say=said.append)
    assert again.series.patches[0].diff == only.diff and "as it was fetched before" in said[0]
    assert "b4 could not fetch the thread" in said[0]


def test_without_network_and_archive_it_is_the_hosts_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mail_fetch.VARIABLE, str(as_mbox(tmp_path / "all.mbox", ALIEN)))
    (tmp_path / "b4").write_text("#!/bin/sh\necho 'Could not retrieve thread: no route' >&2\nexit 1\n")
    (tmp_path / "b4").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InfrastructureError, match=r"b4 could not fetch .*all\.mbox\) does not have it") as caught:
        read("p@x", mails=tmp_path / "nothing")
    assert caught.value.detail == "Could not retrieve thread: no route"
    (tmp_path / "b4").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfrastructureError, match="`b4` is not installed"):
        read("p@x", mails=tmp_path / "nothing")
