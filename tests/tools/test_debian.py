# SPDX-License-Identifier: GPL-2.0-or-later
"""The private apt root against a small signed archive on the local disk: real apt, real signatures, no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.errors import InfrastructureError
from harness.sources import debian, debian_host
from harness.sources.debian import DebianRoot

needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg signs the test's archive")


class Key:
    """A signing key of the test's own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.home = home
        self.ring = home / "ring.gpg"
        self._gpg("--quick-generate-key", "archive@example.org", "ed25519", "sign", "never")
        self._gpg("--export", "--output", str(self.ring), "archive@example.org")

    def _gpg(self, *argv: str) -> None:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--passphrase", "", *argv]
        subprocess.run(command, check=True, capture_output=True)

    def sign(self, release: Path) -> None:
        """Release -> InRelease."""
        self._gpg("--yes", "--clearsign", "--output", str(release.with_name("InRelease")), str(release))

    def stop(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)


class Archive:
    """A Debian archive of a few packages: suites bookworm and bookworm-security, architectures amd64 and arm64."""

    def __init__(self, root: Path, key: Key) -> None:
        self.root = root
        self.key = key

    def publish(self, suite: str, arch: str, *packages: tuple[str, str, bytes]) -> None:
        """Put (name, version, content of its .deb) into the suite's index, alone."""
        text = ""
        for name, version, content in packages:
            path = self._pool(f"{name}_{version.replace(':', '%3a')}_{arch}.deb", content)
            text += f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\n"
            text += "Depends: libc6 (>= 2.36),\n other\n"
            text += f"Filename: {path}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n\n"
        self._index(suite, f"main/binary-{arch}/Packages", text)

    def publish_source(self, suite: str, name: str, version: str, files: dict[str, bytes]) -> None:
        text = f"Package: {name}\nVersion: {version}\nDirectory: pool\nFiles:\n ignored 1 x\nChecksums-Sha256:\n"
        for filename, content in files.items():
            self._pool(filename, content)
            text += f" {hashlib.sha256(content).hexdigest()} {len(content)} {filename}\n"
        self._index(suite, "main/source/Sources", text + "\n")

    def _pool(self, name: str, content: bytes) -> str:
        path = self.root / "pool" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return f"pool/{name}"

    def _index(self, suite: str, name: str, text: str) -> None:
        folder = self.root / "dists" / suite
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
        release = f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nDate: {date}\nArchitectures: amd64 arm64\n"
        release += "Components: main\nSHA256:\n"
        for index in sorted(folder.glob("main/*/*")):
            content = index.read_bytes()
            relative = index.relative_to(folder)
            release += f" {hashlib.sha256(content).hexdigest()} {len(content)} {relative}\n"
        (folder / "Release").write_text(release)
        self.key.sign(folder / "Release")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    made = Key(tmp_path_factory.mktemp("gpg") / "h")
    yield made
    made.stop()


@pytest.fixture
def archive(tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setattr(debian_host, "KEYRINGS", (str(key.ring),))
    root = tmp_path / "mirror" / "debian"
    root.mkdir(parents=True)
    monkeypatch.setenv("FAULTLOOP_DEBIAN_MIRROR", f"file:{root}")
    monkeypatch.setattr(debian, "host_architecture", lambda: "amd64")
    return Archive(root, key)


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def _later(cache: Cache, notices: list[str] | None = None, fresh_seconds: float = 0) -> DebianRoot:
    """A root of a later run: one run reads an index once."""
    return DebianRoot(cache, notice=(notices if notices is not None else []).append, fresh_seconds=fresh_seconds)


@pytest.fixture
def root(cache: Cache, notices: list[str]) -> DebianRoot:
    return _later(cache, notices)


@needs_gpg
def test_highest_version_over_suites_and_its_file(archive: Archive, root: DebianRoot, cache: Cache) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1.9-1", b"nine"), ("toolbox", "7", b"box"))
    archive.publish("sid", "amd64", ("tool", "1.10-1", b"ten"), ("tool", "1.10~rc1", b"rc"))
    found = root.resolve("tool", ["bookworm", "sid"])
    assert (found.version, found.suite, found.arch) == ("1.10-1", "sid", "amd64")
    assert found.sha256 == hashlib.sha256(b"ten").hexdigest()
    assert found.depends == "libc6 (>= 2.36),\nother"
    path = root.fetch(found)
    assert path.read_bytes() == b"ten" and not path.is_symlink()
    assert path.is_relative_to(cache.root)


@needs_gpg
def test_another_architecture(archive: Archive, root: DebianRoot) -> None:
    archive.publish("bookworm", "amd64", ("busybox", "1", b"amd"))
    archive.publish("bookworm", "arm64", ("busybox", "1", b"arm"))
    assert root.fetch(root.resolve("busybox", ["bookworm"], "arm64")).read_bytes() == b"arm"
    assert root.fetch(root.resolve("busybox", ["bookworm"])).read_bytes() == b"amd"


@needs_gpg
def test_source_with_version_prefix(archive: Archive, root: DebianRoot) -> None:
    files = {"qemu_10.0.1.orig.tar.xz": b"orig", "qemu_10.0.1-1.dsc": b"dsc"}
    archive.publish_source("bookworm", "qemu", "1:10.0.1-1", files)
    source = root.fetch_source("qemu", "bookworm", "1:10.0.")
    assert {path.name: path.read_bytes() for path in source.files} == files
    assert debian.source_tarball(source).name == "qemu_10.0.1.orig.tar.xz"
    with pytest.raises(InfrastructureError, match=r"no source package qemu 1:10\.1\.\*"):
        root.fetch_source("qemu", "bookworm", "1:10.1.")


@needs_gpg
def test_unknown_package(archive: Archive, root: DebianRoot) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"x"))
    with pytest.raises(InfrastructureError, match="no package too for amd64 in bookworm"):
        root.resolve("too", ["bookworm"])


@needs_gpg
def test_tampered_file_is_refused(archive: Archive, root: DebianRoot, cache: Cache) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"good"))
    found = root.resolve("tool", ["bookworm"])
    (archive.root / found.path).write_bytes(b"evil")
    with pytest.raises(InfrastructureError, match="tool_1_amd64"):
        root.fetch(found)
    assert cache.entries("debian") == []


class Deceived(DebianRoot):
    """Its apt hands out something else without a word."""

    def _apt(self, root: Path, argv: Sequence[str], failure: str) -> str:
        if "download-file" in argv:
            Path(argv[3]).write_bytes(b"evil")
            return ""
        return super()._apt(root, argv, failure)


@needs_gpg
def test_what_apt_hands_out_is_checked_again(archive: Archive, cache: Cache) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"good"))
    deceived = Deceived(cache)
    with pytest.raises(InfrastructureError, match="not what its signed index says"):
        deceived.fetch(deceived.resolve("tool", ["bookworm"]))
    assert cache.entries("debian") == []


@needs_gpg
def test_tampered_index_is_refused(archive: Archive, root: DebianRoot) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"good"))
    index = archive.root / "dists/bookworm/main/binary-amd64/Packages"
    index.write_text(index.read_text().replace("Version: 1", "Version: 2"))
    with pytest.raises(InfrastructureError, match="index of Debian bookworm cannot be had"):
        root.resolve("tool", ["bookworm"])


@needs_gpg
def test_unsigned_archive_is_refused(archive: Archive, root: DebianRoot) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"good"))
    (archive.root / "dists/bookworm/InRelease").unlink()
    with pytest.raises(InfrastructureError, match="cannot be had") as caught:
        root.resolve("tool", ["bookworm"])
    assert "not signed" in caught.value.detail or "Release" in caught.value.detail


@needs_gpg
def test_strangers_signature_is_refused_even_when_an_old_index_is_there(
    archive: Archive, root: DebianRoot, cache: Cache, tmp_path: Path
) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"good"))
    root.resolve("tool", ["bookworm"])
    stranger = Key(tmp_path / "s")
    archive.key = stranger
    archive.publish("bookworm", "amd64", ("tool", "2", b"evil"))
    try:
        with pytest.raises(InfrastructureError, match="cannot be had") as caught:
            _later(cache).resolve("tool", ["bookworm"])
        assert debian.is_bad_signature(caught.value)
    finally:
        stranger.stop()


@needs_gpg
def test_without_network_the_old_index_and_the_cache_serve(
    archive: Archive, root: DebianRoot, cache: Cache, notices: list[str]
) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"good"))
    first = root.fetch(root.resolve("tool", ["bookworm"]))
    archive.root.rename(archive.root.with_name("gone"))
    again = _later(cache, notices)
    assert again.fetch(again.resolve("tool", ["bookworm"])) == first
    assert any("going on with the one of 0 hours ago" in line for line in notices)


@needs_gpg
def test_without_network_and_without_index(archive: Archive, root: DebianRoot) -> None:
    with pytest.raises(InfrastructureError, match="index of Debian bookworm cannot be had"):
        root.resolve("tool", ["bookworm"])


@needs_gpg
def test_fresh_index_is_not_read_again(archive: Archive, cache: Cache) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"one"))
    assert _later(cache, fresh_seconds=3600).resolve("tool", ["bookworm"]).version == "1"
    archive.publish("bookworm", "amd64", ("tool", "2", b"two"))
    assert _later(cache, fresh_seconds=3600).resolve("tool", ["bookworm"]).version == "1"
    stamp = cache.root / "apt" / "bookworm-amd64" / "updated"
    os.utime(stamp, (time.time() - 7200,) * 2)
    assert _later(cache, fresh_seconds=3600).resolve("tool", ["bookworm"]).version == "2"


@needs_gpg
def test_what_was_looked_up_is_kept_while_the_index_stands(archive: Archive, cache: Cache) -> None:
    archive.publish("bookworm", "amd64", ("tool", "1", b"one"))
    assert _later(cache, fresh_seconds=3600).resolve("tool", ["bookworm"]).version == "1"
    (kept,) = (cache.root / "apt" / "bookworm-amd64" / "stanzas").iterdir()
    kept.write_text(kept.read_text().replace('"Version": "1"', '"Version": "7"'))
    assert _later(cache, fresh_seconds=3600).resolve("tool", ["bookworm"]).version == "7"
    (index,) = (cache.root / "apt" / "bookworm-amd64" / "state" / "lists").glob("*_Packages*")
    index.touch()
    assert _later(cache, fresh_seconds=3600).resolve("tool", ["bookworm"]).version == "1"
    kept.write_text(kept.read_text()[:-20])
    assert _later(cache, fresh_seconds=3600).resolve("tool", ["bookworm"]).version == "1"


def test_no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAULTLOOP_DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr(
        debian_host, "run", lambda argv, failure: "cdrom:[x]|bookworm|main\nhttp://ports/|noble|main\n"
    )
    with pytest.raises(InfrastructureError, match="FAULTLOOP_DEBIAN_MIRROR"):
        debian_host.mirror_origin()
    monkeypatch.setenv("FAULTLOOP_DEBIAN_MIRROR", "http://m/debian/")
    assert debian_host.mirror_origin() == "FAULTLOOP_DEBIAN_MIRROR"


def test_no_keyring(root: DebianRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_host, "KEYRINGS", ("/nonexistent",))
    with pytest.raises(InfrastructureError, match="install the package debian-archive-keyring"):
        root.resolve("tool", ["bookworm"])


@pytest.mark.parametrize(
    ("lines", "main", "security"),
    [
        (
            ["http://m/debian|trixie|main", "http://s/debian-security|trixie-security|main"],
            "http://m/debian",
            None,
        ),
        (["http://m/debian/|bookworm-updates|main"], "http://m/debian", "http://m/debian-security"),
        (["http://s/debian-security|bullseye/updates|main"], "http://s/debian", "http://s/debian-security"),
        (
            ["http://x/vendor|stable|contrib", "http://m/debian|sid|main"],
            "http://m/debian",
            "http://m/debian-security",
        ),
    ],
)
def test_sites_of_the_host(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], main: str, security: str | None
) -> None:
    monkeypatch.delenv("FAULTLOOP_DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr(debian_host, "run", lambda argv, failure: "\n".join(lines))
    assert debian_host.site("sid") == main
    assert debian_host.site("bookworm-security") == (security or "http://s/debian-security")


def test_stanzas_are_found_by_their_whole_name() -> None:
    text = "Package: a\nVersion: 1\n\nPackage: ab\nVersion: 2\n\n"
    text += "Package: a\nVersion: 3\nDescription: x\n Package: a\n"
    assert [stanza["Version"] for stanza in debian.parse_stanzas(text, "a")] == ["1", "3"]
    assert debian.parse_stanzas(text, "b") == []
    assert debian.parse_stanzas("", "a") == []


def test_versions_sort_as_dpkg_does() -> None:
    versions = ["1.10", "1.9", "1:0.1", "1.10~rc1", "1.10-1"]
    assert sorted(versions, key=debian_host.version_key) == ["1.9", "1.10~rc1", "1.10", "1.10-1", "1:0.1"]
