# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest leaves is taken as files and folders below one folder, or not at all."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import GuestError, UserError
from harness.jobs import share


def archive(tmp_path: Path, *members: tuple[str, bytes | Callable[[tarfile.TarInfo], None]]) -> Path:
    """An archive as a guest could make it."""
    path = tmp_path / "out.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, what in members:
            info = tarfile.TarInfo(name)
            if isinstance(what, bytes):
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
            else:
                what(info)
                tar.addfile(info)
    return path


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> Callable[[tarfile.TarInfo], None]:
    def make(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, target

    return make


def special(kind: bytes) -> Callable[[tarfile.TarInfo], None]:
    def make(info: tarfile.TarInfo) -> None:
        info.type = kind

    return make


def into(tmp_path: Path) -> Path:
    (folder := tmp_path / "made").mkdir()
    return folder


def test_files_and_folders_are_taken(tmp_path: Path) -> None:
    def run(info: tarfile.TarInfo) -> None:
        info.type, info.mode = tarfile.REGTYPE, 0o6755

    made = into(tmp_path)
    share.unpack(archive(tmp_path, ("./a/b", b"x" * 5000), ("./c", b""), ("./run", run)), made)
    assert (made / "a/b").read_bytes() == b"x" * 5000 and (made / "c").is_file()
    assert (made / "run").stat().st_mode & 0o7777 == 0o755, "no set-user-ID"


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a/" * 3000 + "evil"])
def test_names_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(GuestError, match="leaves its folder"):
        share.unpack(archive(tmp_path, (name, b"x")), into(tmp_path))
    assert not (tmp_path / "evil").exists() and not Path("/evil").exists()


@pytest.mark.parametrize(
    "what",
    [
        link("/etc/passwd"),
        link("../out.tar", tarfile.LNKTYPE),
        special(tarfile.FIFOTYPE),
        special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE),
    ],
)
def test_what_is_neither_file_nor_folder(tmp_path: Path, what: Callable[[tarfile.TarInfo], None]) -> None:
    made = into(tmp_path)
    with pytest.raises(GuestError, match="neither a file nor a folder"):
        share.unpack(archive(tmp_path, ("x", what)), made)
    assert not list(made.iterdir())


def test_a_file_below_a_file_and_the_same_file_twice(tmp_path: Path) -> None:
    for members in ((("a", b"1"), ("a/b", b"2")), (("a", b"1"), ("a", b"2"))):
        made = tmp_path / f"made-{members[1][0].replace('/', '-')}"
        made.mkdir()
        with pytest.raises(GuestError, match="cannot be read"):
            share.unpack(archive(tmp_path, *members), made)
        assert (made / "a").read_bytes() == b"1"


def test_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "MOST_OUT", 100)
    with pytest.raises(GuestError, match="left more than"):
        share.unpack(archive(tmp_path, ("a", b"x" * 60), ("b", b"x" * 60)), into(tmp_path))
    monkeypatch.setattr(share, "MOST_FILES", 3)
    (other := tmp_path / "other").mkdir()
    with pytest.raises(GuestError, match="left more than"):
        share.unpack(archive(tmp_path, *((str(n), b"") for n in range(4))), other)


@pytest.mark.parametrize("content", [b"", b"no archive" * 100, b"\0" * 511, b"\xff" * 2048])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.tar"
    path.write_bytes(content)
    with pytest.raises(GuestError):
        share.unpack(path, into(tmp_path))


def test_an_archive_that_is_cut_short(tmp_path: Path) -> None:
    path = archive(tmp_path, ("a", b"x" * 10_000))
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(GuestError, match="cannot be read"):
        share.unpack(path, into(tmp_path))


def test_what_is_shared(tmp_path: Path) -> None:
    """Plain files, not what came from guests before."""
    for name in ("b/x", "a", "from-guest/old", "from-guest-2/old"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    assert [str(name) for name in share.check(tmp_path)] == ["a", "b/x"]


def test_a_folder_that_is_not_there_and_one_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no such folder"):
        share.check(tmp_path / "none")
    (tmp_path / "a").write_bytes(b"x" * 200)
    monkeypatch.setattr(share, "MOST_IN", 100)
    with pytest.raises(UserError, match="too much for a guest"):
        share.check(tmp_path)
