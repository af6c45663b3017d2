# SPDX-License-Identifier: GPL-2.0-or-later
"""Content-addressed store of everything that was fetched or built.

``root/<room>/<key>/`` is an entry. It appears by one rename, complete, with ``entry.json`` (size and SHA-256
of every file); until then it is ``root/<room>/.tmp-<key>``, which belongs to whoever holds the key's lock:
one that is found unlocked is a dead maker's and is swept. So an interruption at any moment leaves either a
whole entry or none. The time of an entry's folder says when it was last asked for, to the day.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from fnmatch import filter as matching
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness import disk
from harness.errors import InfrastructureError

Maker = Callable[[Path], None]
Notice = Callable[[str], None]

MANIFEST = "entry.json"
ALL = ("*",)
"""Every file of an entry."""
_SCHEMA = 1
_TEMPORARY = ".tmp-"
_SAY_AFTER_SECONDS = 1.0
_DAY = 24 * 3600
_AT_ONCE = 1 << 20
"""Bytes of a file that is read as a whole."""


def digest(*parts: object) -> str:
    """Hex SHA-256 over values that JSON can hold, in order: a cache key."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > _AT_ONCE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        # The buffer that file_digest() makes for itself takes longer than a small file.
        return hashlib.sha256(file.readall() or b"").hexdigest()


def need_space(folder: Path, gib: float, what: str) -> None:
    """InfrastructureError unless ``folder`` has ``gib`` GiB free for ``what``."""
    free = disk.free_bytes(folder)
    if free < gib * disk.GIB:
        raise InfrastructureError(
            f"{folder}: {what} needs {gib:g} GiB, {free / disk.GIB:.1f} GiB are free; "
            f"make room, or name another folder in FAULTLOOP_CACHE"
        )


class Cache:
    """See the module's text. ``notice`` is told of anything unusual, in one line."""

    def __init__(self, root: Path, *, notice: Notice | None = None) -> None:
        self.root = root
        self.notice = notice or (lambda line: None)

    def get(self, room: str, key: str, *, read: Sequence[str] = ()) -> Path | None:
        """The entry, or None. A damaged one (file missing, or of another size) is removed, with a notice.

        ``read``: patterns (fnmatch) of the files that are about to be used; their content is compared, too. One
        that begins with ``!`` takes files of those before it out again.
        """
        entry = self._entry(room, key)
        if not entry.is_dir():
            return None
        fault = _fault(entry, read)
        if fault is None:
            _note_use(entry)
            return entry
        with self.lock(f"{room}-{key}"):
            fault = _fault(entry, read) if entry.is_dir() else None
            if fault is None:
                return entry if entry.is_dir() else None
            self.notice(f"cache: {entry}: {fault}; removed, will be made again")
            with self._disk_errors():
                drop(entry)
        return None

    def known(self, room: str, key: str) -> Path | None:
        """The entry, not looked at, or None."""
        entry = self._entry(room, key)
        if not (entry / MANIFEST).is_file():
            return None
        _note_use(entry)
        return entry

    def make(self, room: str, key: str, maker: Maker, *, read: Sequence[str] = ()) -> Path:
        """The entry, made by ``maker`` (which fills an empty folder) unless it is there; ``read`` as of `get`.

        Two processes that want the same entry make it once. InfrastructureError when the disk is full.
        """
        found = self.get(room, key, read=read)
        if found is not None:
            return found
        entry = self._entry(room, key)
        with self._disk_errors():
            entry.parent.mkdir(parents=True, exist_ok=True)
        self.sweep(room)
        with self.lock(f"{room}-{key}"):
            if entry.is_dir() and _fault(entry, read) is None:
                return entry
            temporary = _temporary(entry)
            try:
                with self._disk_errors():
                    drop(entry)
                    # A build may leave a program with set-user-ID in it: nobody gets there before that is taken.
                    temporary.mkdir(mode=0o700)
                    maker(temporary)
                    _write_manifest(temporary, room, key)
                    temporary.chmod(0o777 & ~_umask())
                    temporary.rename(entry)
            except BaseException:
                with contextlib.suppress(OSError):
                    _remove(temporary)
                raise
        return entry

    def remove(self, room: str, key: str) -> None:
        """Remove an entry, if it is there."""
        with self.lock(f"{room}-{key}"), self._disk_errors():
            drop(self._entry(room, key))

    def remove_unused(self, room: str, key: str, since: float) -> bool:
        """Remove an entry that nobody asked for after ``since`` (seconds of the epoch), and nobody is making."""
        entry = self._entry(room, key)
        lock = self._file_lock(f"{room}-{key}")
        with contextlib.suppress(Timeout, FileNotFoundError), self._disk_errors(), lock.acquire(blocking=False):
            if last_use(entry) < since:
                drop(entry)
                return True
        return False

    def rooms(self) -> list[str]:
        """Names of the rooms that hold entries."""
        return sorted(room.name for room in self.root.glob("[!.]*") if self.entries(room.name))

    def entries(self, room: str) -> list[Path]:
        """All entries of a room, unchecked, sorted by key."""
        return sorted(manifest.parent for manifest in (self.root / room).glob(f"[!.]*/{MANIFEST}"))

    def verify(self, room: str, key: str) -> list[str]:
        """Everything that is wrong with an entry, every byte read: slow. Empty when it is sound."""
        entry = self._entry(room, key)
        fault = _fault(entry) if entry.is_dir() else "not in the cache"
        if fault is not None:
            return [fault]
        return [f"{name}: content changed" for name in _changed(entry, recorded(entry), ALL)]

    def changed(self, room: str, key: str, read: Sequence[str]) -> list[str]:
        """Files, among those that ``read`` names, whose content is not what it was; none where is no entry."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            entry = self._entry(room, key)
            return list(_changed(entry, recorded(entry), read))
        return []

    def sweep(self, room: str) -> None:
        """Remove what makers that were killed left behind."""
        for left in (self.root / room).glob(f"{_TEMPORARY}*"):
            lock = self._file_lock(f"{room}-{left.name.removeprefix(_TEMPORARY)}")
            with contextlib.suppress(Timeout, OSError), lock.acquire(blocking=False):
                _remove(left)

    @contextlib.contextmanager
    def lock(self, name: str, *, waiting: str = "") -> Iterator[None]:
        """A lock between processes, for the length of a ``with``; says so when it has to wait."""
        with self._disk_errors():
            lock = self._file_lock(name)
            try:
                lock.acquire(timeout=_SAY_AFTER_SECONDS)
            except Timeout:
                self.notice(waiting or f"waiting for another process that makes {name}")
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _file_lock(self, name: str) -> FileLock:
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock", thread_local=False)

    def _entry(self, room: str, key: str) -> Path:
        if not key or key.startswith(".") or "/" in key or "/" in room:
            raise ValueError(f"not a cache key: {room!r} {key!r}")
        return self.root / room / key

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Tell the user what a full or forbidden disk means here."""
        try:
            yield
        except OSError as error:
            if disk.is_full(error):
                raise disk.full(self.root) from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise InfrastructureError(
                    f"{error.filename or self.root}: {error.strerror}; the cache must be writable, or name "
                    f"another folder in FAULTLOOP_CACHE"
                ) from error
            raise


def last_use(entry: Path) -> float:
    """When an entry was made, or last asked for, in seconds of the epoch: to the day."""
    return entry.stat().st_mtime


def _note_use(entry: Path) -> None:
    with contextlib.suppress(OSError):  # in a cache that may only be read
        if time.time() - last_use(entry) > _DAY:
            os.utime(entry)


@contextlib.contextmanager
def _listing(entry: Path) -> Iterator[Callable[[], tuple[list[str], str]]]:
    """Gives what tells all below ``entry`` but folders (``f SIZE NAME``, ``l 0 NAME``, ...), and complaints.

    By find(1), which goes on while the block does something else: a kernel has 80,000 files, and every run looks
    at them.
    """
    argv = ["find", str(entry), "-mindepth", "1", "!", "-type", "d"]
    argv += ["(", "-type", "f", "-printf", "f %s %P\\0", "-o", "-printf", "%y 0 %P\\0", ")"]
    with (
        os.fdopen(os.memfd_create("listing"), "w+b") as out,
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE) as process,
    ):

        def listed() -> tuple[list[str], str]:
            _, complaints = process.communicate()
            out.seek(0)
            return os.fsdecode(out.read()).split("\0")[:-1], complaints.decode(errors="replace").strip()

        yield listed


def _fault(entry: Path, read: Sequence[str] = ()) -> str | None:
    """What is wrong with an entry, by sizes, and by the content of what ``read`` names; None when nothing is."""
    with _listing(entry) as listed:
        try:
            manifest = _manifest(entry)
            files, links, schema = manifest["files"], manifest["links"], manifest["schema"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"no valid {MANIFEST} ({error})"
        found = set(listed()[0])  # what vanishes meanwhile is missing
    if schema != _SCHEMA:
        return f"{MANIFEST} of another version"
    for name, (size, _) in files.items():
        if f"f {size} {name}" not in found:
            return f"{name} is missing, or no file of {size} bytes"
    for name in links:
        if f"l 0 {name}" not in found:
            return f"{name} is missing, or no link"
    changed = next(_changed(entry, files, read), None)
    return f"{changed}: content changed" if changed else None


def recorded(entry: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file, as they were when the entry was made."""
    files: dict[str, tuple[int, str]] = _manifest(entry)["files"]
    return files


def _manifest(entry: Path) -> dict[str, Any]:
    """The manifest, which nobody changes once the entry is there."""
    told = (entry / MANIFEST).stat()
    return _read_manifest(entry / MANIFEST, told.st_ino, told.st_mtime_ns, told.st_size)


@functools.lru_cache(maxsize=8)
def _read_manifest(path: Path, *_: int) -> dict[str, Any]:
    """That of a kernel's source has 80,000 files: a fifth of a second, and it is asked for three times."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _changed(entry: Path, files: Mapping[str, tuple[int, str]], read: Sequence[str]) -> Iterator[str]:
    """Those of an entry's files that ``read`` names, whose content is not what it was when the entry was made."""
    wanted: set[str] = set()
    for pattern in read:
        if pattern.startswith("!"):
            wanted.difference_update(matching(wanted, pattern[1:]))
            continue
        if pattern in files:
            wanted.add(pattern)
        if "*" in pattern:
            wanted.update(matching(files, pattern))
    hashes = _hashes(entry, wanted)
    for name in sorted(wanted):
        if hashes[name] != files[name][1]:
            yield name


def _hashes(entry: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files, taken on all CPUs: hashlib leaves Python's lock to others meanwhile."""

    def of_share(share: Sequence[str]) -> dict[str, str]:
        return {name: file_sha256(entry / name) for name in share}

    every, count = list(names), os.cpu_count() or 1
    found: dict[str, str] = {}
    with ThreadPoolExecutor(count) as pool:
        for share in pool.map(of_share, [every[start::count] for start in range(count)]):
            found.update(share)
    return found


def _write_manifest(entry: Path, room: str, key: str) -> None:
    sizes: dict[str, int] = {}
    links: dict[str, str] = {}
    with _listing(entry) as listed:
        found, complaints = listed()
    if complaints:
        raise InfrastructureError(f"{entry}: cannot be read", detail=complaints)
    for kind, size, name in (record.split(" ", 2) for record in found):
        if name == MANIFEST:
            continue
        if kind == "l":
            links[name] = str((entry / name).readlink())
        elif kind == "f":
            sizes[name] = int(size)
        else:
            raise InfrastructureError(f"{entry / name}: neither a file, a folder nor a link")
    files = {name: (sizes[name], sha256) for name, sha256 in _hashes(entry, sizes).items()}
    made = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    manifest = {"schema": _SCHEMA, "room": room, "key": key, "made": made, "files": files, "links": links}
    with (entry / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=0, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


def _umask() -> int:
    """The process's, which can only be read by setting it, and so from the status that the kernel shows."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o077


def _temporary(entry: Path) -> Path:
    """Where whoever holds an entry's lock makes it, and where it goes first when it goes."""
    return entry.with_name(f"{_TEMPORARY}{entry.name}")


def drop(entry: Path) -> None:
    """Remove an entry, and what an earlier maker left of it: by a rename, so that it is whole or not there."""
    _remove(_temporary(entry))
    with contextlib.suppress(FileNotFoundError):
        entry.rename(_temporary(entry))
    _remove(_temporary(entry))


def _remove(path: Path) -> None:
    """Remove a tree, folders without write permission among it; nothing there is fine."""

    def unlock(function: Callable[..., object], name: str, error: object) -> None:
        cause = error[1] if isinstance(error, tuple) else error
        if isinstance(cause, FileNotFoundError):
            return
        if not isinstance(cause, PermissionError):
            raise cause if isinstance(cause, BaseException) else OSError(name)
        Path(name).parent.chmod(0o700)
        if Path(name).is_dir():
            Path(name).chmod(0o700)
        function(name)

    try:
        shutil.rmtree(path, onerror=unlock)
    except RecursionError:  # folders within folders: a build can make more than Python can follow
        subprocess.run(["rm", "-rf", "--", str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
