# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user calls a kernel, and what it means."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.build.cache import Cache
from harness.build.sandbox import Sandbox
from harness.errors import InfrastructureError, UserError
from harness.layout import project
from harness.sources import kernels
from harness.sources.debian import DebianPackage, DebianRoot
from tests.unit import fake_kernel

_TABLE = """\
default: "6.1"
series:
  "6.1":
    package: linux-source-6.1
    suites: [bookworm-security, bookworm]
  newest:
    metapackage: linux-source
    suites: [trixie-backports, sid]
"""


class FakeDebian(DebianRoot):
    """Knows two packages, asks nobody."""

    def __init__(self, cache: Cache, deb: Path, depends: str = "linux-source-7.3 (= 7.3.4-1)") -> None:
        super().__init__(cache)
        self.deb = deb
        self.depends = depends
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def resolve(self, package: str, suites: Sequence[str], arch: str | None = None) -> DebianPackage:
        self.asked.append((package, tuple(suites)))
        depends = self.depends if package == "linux-source" else ""
        return DebianPackage(package, "6.1.7-1", "all", suites[0], "ab" * 32, 1, "pool/x.deb", depends)

    def fetch(self, package: DebianPackage) -> Path:
        return self.deb


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def table(tmp_path: Path) -> kernels.KernelTable:
    (tmp_path / "kernels.yaml").write_text(_TABLE)
    return kernels.load(tmp_path / "kernels.yaml")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return fake_kernel.write(tmp_path / "linux")


@pytest.fixture
def debian(tmp_path: Path, tree: Path, cache: Cache) -> FakeDebian:
    package = tmp_path / "pkg"
    (package / "usr/src").mkdir(parents=True)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN/control").write_text(
        "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n"
    )
    tarball = package / "usr/src/linux-source-6.1.tar.xz"
    subprocess.run(["tar", "-C", str(tree.parent), "-caf", str(tarball), tree.name], check=True)
    subprocess.run(["dpkg-deb", "-b", str(package), str(tmp_path / "x.deb")], check=True, capture_output=True)
    return FakeDebian(cache, tmp_path / "x.deb")


def test_series_and_default(cache: Cache, debian: FakeDebian, table: kernels.KernelTable) -> None:
    found = kernels.resolve("6.1", cache=cache, debian=debian, table=table)
    assert (found.name, found.version, found.digest) == ("6.1", "6.1.7", "ab" * 32)
    assert found.origin == f"Debian linux-source-6.1 6.1.7-1 (bookworm-security), sha256:{'ab' * 32}"
    assert kernels.resolve("", cache=cache, debian=debian, table=table) == found
    assert kernels.cached(cache=cache) == [found]


def test_metapackage_is_followed(cache: Cache, debian: FakeDebian, table: kernels.KernelTable) -> None:
    kernels.resolve("newest", cache=cache, debian=debian, table=table)
    assert debian.asked == [
        ("linux-source", ("trixie-backports", "sid")),
        ("linux-source-7.3", ("trixie-backports",)),
    ]


def test_metapackage_that_leads_nowhere(cache: Cache, debian: FakeDebian, table: kernels.KernelTable) -> None:
    debian.depends = "libc6"
    with pytest.raises(InfrastructureError, match="depends on no linux-source"):
        kernels.resolve("newest", cache=cache, debian=debian, table=table)


class Offline(FakeDebian):
    """Nothing can be had any more."""

    detail = "E: Could not resolve"

    def resolve(self, package: str, suites: Sequence[str], arch: str | None = None) -> DebianPackage:
        raise InfrastructureError("the index of Debian bookworm cannot be had", detail=self.detail)


def test_without_network_the_cache_serves(tmp_path: Path, debian: FakeDebian, table: kernels.KernelTable) -> None:
    notices: list[str] = []
    cache = Cache(tmp_path / "cache", notice=notices.append)
    offline = Offline(cache, debian.deb)
    with pytest.raises(InfrastructureError, match="cannot be had"):
        kernels.resolve("6.1", cache=cache, debian=offline, table=table)
    found = kernels.resolve("6.1", cache=cache, debian=debian, table=table)
    assert notices == []
    assert kernels.resolve("6.1", cache=cache, debian=offline, table=table) == found
    assert len(notices) == 1 and "going on with what the cache has: Debian linux-source-6.1" in notices[0]
    with pytest.raises(InfrastructureError):
        kernels.resolve("newest", cache=cache, debian=offline, table=table)


def test_bad_signature_is_never_passed_over(cache: Cache, debian: FakeDebian, table: kernels.KernelTable) -> None:
    kernels.resolve("6.1", cache=cache, debian=debian, table=table)
    offline = Offline(cache, debian.deb)
    offline.detail = "W: GPG error: NO_PUBKEY 123"
    with pytest.raises(InfrastructureError, match="cannot be had"):
        kernels.resolve("6.1", cache=cache, debian=offline, table=table)


def test_folder_tarball_and_repository(
    cache: Cache, debian: FakeDebian, table: kernels.KernelTable, tree: Path, tmp_path: Path
) -> None:
    def resolve(name: str) -> tuple[str, str]:
        found = kernels.resolve(name, cache=cache, debian=debian, table=table, sandbox=Sandbox())
        assert found.version == "6.1.7" and found.name == name
        return found.origin.split()[0], found.digest

    assert resolve(str(tree))[0] == "folder"
    subprocess.run(["tar", "-C", str(tmp_path), "-cf", str(tmp_path / "l.tar"), "linux"], check=True)
    assert resolve(str(tmp_path / "l.tar"))[0] == "tarball"
    git = ["git", "-C", str(tree), "-c", "user.name=a", "-c", "user.email=a@b"]
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *argv], check=True)
    assert resolve(str(tree)) == resolve(f"{tree}@main") == resolve(f"{tree}@HEAD")
    assert debian.asked == []
    assert len(kernels.cached(cache=cache)) == 3


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("6.2", r"unknown kernel '6\.2'.*did you mean 6\.1\?"),
        ("newst", "did you mean newest"),
        ("/no/such/path", "unknown kernel"),
        ("/no/such/repo@main", "unknown kernel"),
        ("{tmp}@main", "not a git repository"),
        ("{tmp}/kernels.yaml", "not a tarball"),
        ("{tmp}/bare.git", "name a commit: .*bare.git@REF"),
    ],
)
def test_what_it_cannot_be(
    cache: Cache, debian: FakeDebian, table: kernels.KernelTable, tmp_path: Path, name: str, why: str
) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare.git")], check=True)
    with pytest.raises(UserError, match=why):
        kernels.resolve(name.format(tmp=tmp_path), cache=cache, debian=debian, table=table)
    assert cache.entries("sources") == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("    package: linux-source-6.1", "    pakage: linux-source-6.1", 4),
        ("    package: linux-source-6.1", "    package: linux-image-6.1", 4),
        ("    package: linux-source-6.1\n", "", 3),
        ("    package: linux-source-6.1", "    package: linux-source-6.1\n    metapackage: linux-source", 3),
        ("suites: [trixie-backports, sid]", "suites: []", 8),
        ("default:", "defalt:", 1),
        ('default: "6.1"', 'default: "6.2"', 1),
        ('"6.1":', "6.1:", 3),
    ],
)
def test_table_errors_name_the_line(tmp_path: Path, old: str, new: str, line: int) -> None:
    path = tmp_path / "kernels.yaml"
    path.write_text(_TABLE.replace(old, new, 1))
    assert path.read_text() != _TABLE
    with pytest.raises(UserError, match=rf"kernels\.yaml:{line}: "):
        kernels.load(path)


def test_own_table() -> None:
    table = kernels.load(project().kernels)
    assert table.default == kernels.default() == "6.1"
    assert set(table.series) == {"6.1", "6.12", "newest"}
