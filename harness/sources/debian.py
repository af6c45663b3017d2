# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages and sources through a private apt root, on the mirror that the host uses.

Each suite and architecture has a root of its own (lists and state), so that only what is asked for is
fetched. The archive's signature is checked against the host's debian-archive-keyring, and each file against
the SHA-256 of the signed index. No root rights are needed, and the host's apt state is not touched.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import disk, whole
from harness.build.cache import ALL, Cache, file_sha256
from harness.errors import InfrastructureError, UserError
from harness.sources.debian_host import host_architecture, keyring, run, site, version_key

_HELPER = "/usr/lib/apt/apt-helper"
ROOM = "debian"
"""Of the cache: what was fetched, by its SHA-256."""
_FRESH_SECONDS = 6 * 3600.0
_BAD_SIGNATURE = re.compile(r"GPG error|is not signed|NO_PUBKEY|BADSIG|EXPKEYSIG|Clearsigned file isn't valid")

_APT_CONF = """\
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "-";
Dir::Etc::Preferences "-";
Dir::Etc::PreferencesParts "-";
APT::Sandbox::User "root";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """One binary package of one suite, as the signed index describes it."""

    name: str
    version: str
    arch: str
    suite: str
    sha256: str
    size: int
    """Bytes."""
    path: str
    """Below the mirror's root."""
    depends: str = ""
    """``Depends`` and ``Pre-Depends``, as written, separated by a comma."""

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.arch} ({self.suite}) sha256:{self.sha256}"


@dataclass(frozen=True, slots=True)
class DebianSource:
    """A source package: its files are verified and lie in the cache."""

    name: str
    version: str
    suite: str
    files: tuple[Path, ...]
    sha256: Mapping[str, str]
    """File name -> SHA-256."""

    def __str__(self) -> str:
        hashes = ", ".join(f"{name} sha256:{sha}" for name, sha in sorted(self.sha256.items()))
        return f"Debian source {self.name} {self.version} ({self.suite}): {hashes}"


class DebianRoot:
    """See the module's text. Everything lies in ``cache``; ``notice`` is told of stale lists and the like."""

    def __init__(
        self, cache: Cache, *, notice: Notice | None = None, fresh_seconds: float = _FRESH_SECONDS
    ) -> None:
        self._cache = cache
        self._notice = notice or (lambda line: None)
        self._fresh_seconds = fresh_seconds
        self._indexes: dict[tuple[str, str], list[Path]] = {}
        self._texts: dict[Path, str] = {}

    def resolve(self, package: str, suites: Sequence[str], arch: str | None = None) -> DebianPackage:
        """The highest version of a package over ``suites``; ``arch`` is the host's when None.

        InfrastructureError when no suite has it or no index can be had.
        """
        arch = arch or host_architecture()
        found = [p for suite in suites for p in self._packages(package, suite, arch)]
        if not found:
            raise InfrastructureError(f"Debian has no package {package} for {arch} in {', '.join(suites)}")
        return max(found, key=lambda p: version_key(p.version))

    def fetch(self, package: DebianPackage) -> Path:
        """The ``.deb``, from the cache or the mirror, its SHA-256 checked."""
        return self._file(package.suite, package.path, package.sha256, package.size, read=ALL)

    def fetch_source(self, name: str, suite: str, version_prefix: str = "") -> DebianSource:
        """The highest version in ``suite`` that starts with ``version_prefix``: its .dsc and all it names."""
        found = [
            stanza
            for stanza in self._stanzas(name, suite, "source")
            if stanza.get("Version", "").startswith(version_prefix)
        ]
        if not found:
            raise InfrastructureError(f"Debian {suite} has no source package {name} {version_prefix}*")
        best = max(found, key=lambda s: version_key(s["Version"]))
        files: list[Path] = []
        hashes: dict[str, str] = {}
        for line in best["Checksums-Sha256"].split("\n"):
            if not line.strip():
                continue
            sha256, size, filename = line.split()
            files.append(self._file(suite, f"{best['Directory']}/{filename}", sha256, int(size)))
            hashes[filename] = sha256
        return DebianSource(name, best["Version"], suite, tuple(files), hashes)

    def _packages(self, package: str, suite: str, arch: str) -> Iterator[DebianPackage]:
        for stanza in self._stanzas(package, suite, arch):
            yield DebianPackage(
                name=package,
                version=stanza["Version"],
                arch=stanza["Architecture"],
                suite=suite,
                sha256=stanza["SHA256"],
                size=int(stanza["Size"]),
                path=stanza["Filename"],
                depends=", ".join(stanza[f] for f in ("Pre-Depends", "Depends") if stanza.get(f)),
            )

    def _stanzas(self, package: str, suite: str, arch: str) -> list[dict[str, str]]:
        """Stanzas of a package in the suite's index; ``arch`` may be ``source``."""
        if (suite, arch) not in self._indexes:
            root = self._root(suite, arch)
            lists = sorted((root / "state" / "lists").glob("*_Sources*" if arch == "source" else "*_Packages*"))
            self._indexes[suite, arch] = lists
        return [
            stanza for index in self._indexes[suite, arch] for stanza in self._found(index, package, suite, arch)
        ]

    def _found(self, index: Path, package: str, suite: str, arch: str) -> list[dict[str, str]]:
        """Stanzas of one index file, which holds 60 MB: what was once looked up in it is kept beside it."""
        told = index.stat()
        state = [told.st_ino, told.st_ctime_ns, told.st_size]
        root = self._root_folder(suite, arch)
        kept = root / "stanzas" / f"{package}-{index.name}.json"
        try:
            memo = json.loads(kept.read_text(encoding="utf-8"))
            if memo["index"] == state:
                return list(memo["stanzas"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        if index not in self._texts:
            self._texts[index] = self._apt(root, [_HELPER, "cat-file", str(index)], f"cannot read {index.name}")
        stanzas = parse_stanzas(self._texts[index], package)
        with contextlib.suppress(OSError):  # a full disk is told by whoever must write
            kept.parent.mkdir(exist_ok=True)
            whole.write(kept, json.dumps({"index": state, "stanzas": stanzas}))
        return stanzas

    def _file(self, suite: str, path: str, sha256: str, size: int, *, read: Sequence[str] = ()) -> Path:
        name = Path(path).name

        def download(folder: Path) -> None:
            root = self._root_folder(suite, "fetch")
            _write_root(root, host_architecture(), "")
            self._notice(f"fetching {name} ({size / 1e6:.0f} MB)")
            target = folder / name
            self._apt(
                root,
                [_HELPER, "download-file", f"{site(suite)}/{path}", str(target), f"SHA256:{sha256}"],
                f"{name}: cannot be fetched from the Debian mirror, and the cache does not have it",
            )
            if target.is_symlink():
                # apt links to files of a local mirror (file:) instead of copying them
                source = target.resolve()
                target.unlink()
                shutil.copyfile(source, target)
            if file_sha256(target) != sha256:
                raise InfrastructureError(f"{name}: the mirror's file is not what its signed index says")

        entry = self._cache.make(ROOM, sha256, download, read=read)
        return entry / name

    def _root(self, suite: str, arch: str) -> Path:
        """The apt root of a suite with its lists, refreshed when they are old and there is a network."""
        root = self._root_folder(suite, arch)
        stamp = root / "updated"
        with self._cache.lock(f"apt-{root.name}"):
            if stamp.exists() and 0 <= time.time() - stamp.stat().st_mtime < self._fresh_seconds:
                return root
            kind = "deb-src" if arch == "source" else "deb"
            target = "Sources" if arch == "source" else "Packages"
            try:
                line = f"{kind} [signed-by={keyring()} target={target}] {site(suite)} {suite} main\n"
                _write_root(root, host_architecture() if arch == "source" else arch, line)
                self._notice(f"reading the index of Debian {suite} ({arch})")
                self._apt(root, ["apt-get", "-q", "update"], f"the index of Debian {suite} cannot be had")
            except InfrastructureError as error:
                if not stamp.exists() or is_bad_signature(error):
                    raise
                age = (time.time() - stamp.stat().st_mtime) / 3600
                self._notice(f"{error.message}; going on with the one of {age:.0f} hours ago")
                return root
            stamp.touch()
        return root

    def _root_folder(self, suite: str, arch: str) -> Path:
        return self._cache.root / "apt" / f"{suite.replace('/', '_')}-{arch}"

    def _apt(self, root: Path, argv: Sequence[str], failure: str) -> str:
        """Run an apt program on a private root. The host's own settings (proxies, certificates) stay in force."""
        command = [argv[0], "-c", str(root / "apt.conf"), *argv[1:]]
        try:
            return run(command, failure)
        except InfrastructureError as error:
            if disk.is_full(error.detail):
                raise disk.full(self._cache.root, failure) from error
            raise


def is_bad_signature(error: InfrastructureError) -> bool:
    """Whether an archive was refused for its signature: never a reason to go on with something else."""
    return _BAD_SIGNATURE.search(error.detail) is not None


def parse_stanzas(text: str, package: str) -> list[dict[str, str]]:
    """Stanzas of a ``Packages`` or ``Sources`` index whose ``Package`` is ``package``."""
    stanzas = []
    needle = f"Package: {package}\n"
    at = text.find(needle)
    while at >= 0:
        if at == 0 or text[at - 1] == "\n":
            start = text.rfind("\n\n", 0, at)
            end = text.find("\n\n", at)
            stanza = text[start + 2 if start >= 0 else 0 : end if end >= 0 else len(text)]
            stanzas.append(_fields(stanza))
        at = text.find(needle, at + 1)
    return stanzas


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.split("\n"):
        if line.startswith((" ", "\t")):
            fields[name] = f"{fields[name]}\n{line.strip()}".lstrip("\n")
        elif ":" in line:
            name, value = line.split(":", 1)
            fields[name] = value.strip()
    return fields


def _write_root(root: Path, arch: str, sources: str) -> None:
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    (root / "sources.list").write_text(sources, encoding="utf-8")
    (root / "apt.conf").write_text(_APT_CONF.format(root=root, arch=arch), encoding="utf-8")


def source_tarball(source: DebianSource) -> Path:
    """The ``.orig`` tarball of a source package."""
    for path in source.files:
        if re.search(r"\.orig\.tar\.\w+$", path.name):
            return path
    raise UserError(f"Debian source {source.name} {source.version} has no .orig tarball")
