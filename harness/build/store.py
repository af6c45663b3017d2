# SPDX-License-Identifier: GPL-2.0-or-later
"""Files by their content, where several machines reach them: any URL that fsspec knows.

``URL/objects/ab/abcdef...`` is the file whose SHA-256 that is. It appears by one rename, whole, and is written
once: whoever puts it again finds it there. Nobody has to trust the store: what it hands out is compared with the
name that was asked for, and with the size, before anyone sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self

import fsspec

from harness.build.cache import file_sha256
from harness.errors import InfrastructureError, UserError

VARIABLE = "FAULTLOOP_STORE"

_CHUNK = 1 << 20
_ID_BYTES = 32
_LOOKS = 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LEFT_BEHIND = 86400.0
"""Seconds after which a half-written file belongs to nobody."""


class StoreError(InfrastructureError):
    """The store lacks an object, or holds another in its place, or cannot be reached."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Names an object: its SHA-256 in hex, and its size in bytes."""

    sha256: str
    size: int

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256) or self.size < 0:
            raise ValueError(f"not the name of an object: {self.sha256!r}, {self.size} bytes")

    def __str__(self) -> str:
        return f"{self.sha256}:{self.size}"

    @classmethod
    def of(cls, path: Path) -> Self:
        """The name that ``path`` has by its content."""
        return cls(file_sha256(path), path.stat().st_size)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reverse of ``str``; ValueError for anything else."""
        sha256, _, size = text.partition(":")
        return cls(sha256, int(size))


class Store:
    """See the module's text."""

    def __init__(self, url: str) -> None:
        self.shown = re.sub(r"(?<=://)[^/@]*@", "", url)
        """The URL as it may be shown: without the user and password in it."""
        try:
            self._fs, root = fsspec.url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise UserError(
                f"{VARIABLE}={self.shown}: no such store: {error}; name a folder as file:///path, or install what "
                "its kind of URL needs"
            ) from error
        self._root = str(root).rstrip("/")

    def put(self, path: Path, ref: Ref | None = None) -> Ref:
        """Keep a file; its name. ``ref``: what it is known to be. Costs no copy when it is there already."""
        ref = ref or Ref.of(path)
        with self._told():
            if not self._holds(ref):
                with path.open("rb") as file:
                    self._write(file, ref)
        return ref

    def put_bytes(self, data: bytes) -> Ref:
        """Keep a piece of data; its name."""
        ref = Ref(hashlib.sha256(data).hexdigest(), len(data))
        with self._told():
            if not self._holds(ref):
                self._write_to(ref, lambda target: target.write(data))
        return ref

    def get(self, ref: Ref, target: Path) -> None:
        """Write the object to ``target``, a new file, which is left only if it is what was asked for."""
        try:
            with target.open("xb") as copy:
                for chunk in self._chunks(ref):
                    copy.write(chunk)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def read(self, ref: Ref) -> bytes:
        """A small object's content."""
        return b"".join(self._chunks(ref))

    def has(self, ref: Ref) -> bool:
        """Whether it is there, by name and size."""
        with self._told():
            return self._holds(ref)

    def identity(self) -> str:
        """A name that the store gives itself when it is first used: two URLs may mean one store, or not."""
        path = f"{self._root}/store-id"
        with self._told():
            if not self._fs.exists(path):
                self._fs.makedirs(self._root, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    self._fs.pipe_file(path, uuid.uuid4().hex.encode(), mode="create")
            for _ in range(_LOOKS):  # whoever made it may still be writing it
                found: bytes = self._fs.cat_file(path)
                if len(found) == _ID_BYTES:
                    return found.decode("ascii", errors="replace")
                time.sleep(0.1)
        raise StoreError(f"{self.shown}: {path} is damaged; remove it")

    def sweep(self) -> None:
        """Remove what writers that were killed left behind, where the store knows how old it is."""
        with contextlib.suppress(OSError, NotImplementedError):
            for name in self._fs.ls(f"{self._root}/partial", detail=False):
                if time.time() - self._fs.modified(name).timestamp() > _LEFT_BEHIND:
                    self._fs.rm_file(name)

    def _path(self, ref: Ref) -> str:
        return f"{self._root}/objects/{ref.sha256[:2]}/{ref.sha256}"

    def _holds(self, ref: Ref) -> bool:
        try:
            return bool(self._fs.info(self._path(ref))["size"] == ref.size)
        except FileNotFoundError:
            return False

    def _write(self, file: BinaryIO, ref: Ref) -> None:
        total = hashlib.sha256()

        def copy(target: Any) -> None:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
                target.write(chunk)
            if total.hexdigest() != ref.sha256:
                raise StoreError(f"{file.name}: changed while it was put into the store")

        self._write_to(ref, copy)

    def _write_to(self, ref: Ref, fill: Any) -> None:
        """Under a name of its own first, then renamed: whoever comes second puts the same in its place."""
        partial = f"{self._root}/partial/{uuid.uuid4().hex}"
        final = self._path(ref)
        for path in (partial, final):
            self._fs.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        try:
            with self._fs.open(partial, "wb") as target:
                fill(target)
            self._fs.mv(partial, final)
        except BaseException:
            with contextlib.suppress(OSError):
                self._fs.rm_file(partial)
            raise

    def _chunks(self, ref: Ref) -> Iterator[bytes]:
        """The content, no more than there should be; StoreError at its end when it is another."""
        path = self._path(ref)
        total, left = hashlib.sha256(), ref.size
        with self._told():
            try:
                file = self._fs.open(path, "rb")
            except FileNotFoundError as error:
                raise StoreError(f"{self.shown}: object {ref.sha256} is missing; put it there again") from error
            with file:
                while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                    total.update(chunk)
                    left -= len(chunk)
                    yield chunk
                more = left == 0 and bool(file.read(1))
        if left or more or total.hexdigest() != ref.sha256:
            raise StoreError(
                f"{self.shown}: object {ref.sha256} is damaged: it holds something else; remove {path} there, and "
                "run again"
            )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the store's own file system says, as one error."""
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self.shown}: the store cannot be used: {error}") from error
