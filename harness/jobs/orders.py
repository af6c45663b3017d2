# SPDX-License-Identifier: GPL-2.0-or-later
"""What a worker is told to do, and what it answers: plain text, no paths of any host, no code.

Whatever is large lies in the store; an order names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import errors
from harness.build.cache import Cache, digest
from harness.build.store import Ref, Store
from harness.errors import FaultloopError, InfrastructureError
from harness.model import Kernel, Patch, Series, Setup

BUNDLES = "bundles"
"""Room of the cache for files that came out of the store."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a bundle."""

    name: str
    ref: Ref
    mode: int = 0o644


Bundle = tuple[File, ...]


@dataclass(frozen=True, slots=True)
class GuestOrder:
    """One guest to run."""

    variant: str
    kernel_name: str
    kernel_version: str
    setup: Setup
    paths: tuple[str, ...]
    sites: tuple[str, ...]
    kernel: Bundle
    """``Image``, ``config`` and ``modules/*``."""
    emulator: Bundle
    emulator_version: str
    guest: Bundle
    """``initramfs``, ``disk`` and ``client_key``."""
    host_key: str


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """One kernel to build."""

    kernel: Kernel
    """Its ``tree`` is the key of its source in the cache."""
    series: Ref
    fragments: tuple[str, ...]
    needs: Mapping[str, Ref]
    """``room/key`` -> pack of a cache entry that the build starts from."""
    gives: tuple[str, ...]
    """``room/key`` of the entries that it makes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of an order."""

    error: FaultloopError | None = None
    packs: Mapping[str, Ref] | None = None
    """What was made: of a guest ``record``, of a build each of its entries."""


def dump(order: GuestOrder | BuildOrder) -> str:
    """As text; `guest` and `build` read it."""
    return json.dumps({"kind": type(order).__name__, **asdict(order)}, default=_plain)


def load(text: str) -> GuestOrder | BuildOrder:
    """The order that :func:`dump` wrote."""
    data = json.loads(text)
    if data.pop("kind") == BuildOrder.__name__:
        return BuildOrder(
            kernel=Kernel(**(data["kernel"] | {"tree": Path(data["kernel"]["tree"])})),
            series=_ref(data["series"]),
            fragments=tuple(data["fragments"]),
            needs={name: _ref(ref) for name, ref in data["needs"].items()},
            gives=tuple(data["gives"]),
        )
    found: dict[str, Any] = {name: _bundle(data.pop(name)) for name in ("kernel", "emulator", "guest")}
    found |= {"setup": Setup(**data.pop("setup")), "paths": tuple(data.pop("paths"))}
    return GuestOrder(sites=tuple(data.pop("sites")), **found, **data)


def dump_reply(reply: Reply) -> str:
    """As text; :func:`load_reply` reads it."""
    error = reply.error
    told = None
    if error is not None:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        told = {"kinds": kinds, "message": error.message, "detail": error.detail}
    return json.dumps({"error": told, "packs": {name: str(ref) for name, ref in (reply.packs or {}).items()}})


def load_reply(text: str) -> Reply:
    """The reply, its error of the kind that it had there. InfrastructureError when it is none."""
    try:
        data = json.loads(text)
        packs = {str(name): Ref.parse(ref) for name, ref in data["packs"].items()}
        told = data["error"]
        return Reply(_error(told) if told else None, packs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InfrastructureError(f"a worker's answer cannot be read: {error!r}") from error


def dump_series(series: Series) -> bytes:
    """As an object of the store."""
    return json.dumps(asdict(series)).encode("ascii")


def load_series(data: bytes) -> Series:
    """What :func:`dump_series` wrote."""
    found = json.loads(data)
    return Series(tuple(map(_patch, found["patches"])), found["title"])


def materialise(cache: Cache, store: Store, bundle: Bundle) -> Path:
    """A folder of the cache with the files of a bundle."""
    key = digest([[file.name, str(file.ref), file.mode] for file in bundle])

    def maker(folder: Path) -> None:
        for file in bundle:
            path = folder / file.name
            path.parent.mkdir(exist_ok=True)
            store.get(file.ref, path)
            path.chmod(file.mode)

    return cache.make(BUNDLES, key, maker)


def _patch(row: Mapping[str, Any]) -> Patch:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
    return Patch(**values)


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} in an order")


def _ref(data: Mapping[str, Any]) -> Ref:
    return Ref(data["sha256"], data["size"])


def _bundle(rows: list[dict[str, Any]]) -> Bundle:
    return tuple(File(row["name"], _ref(row["ref"]), row["mode"]) for row in rows)


def _error(told: Mapping[str, Any]) -> FaultloopError:
    known = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    for name in told["kinds"]:
        kind = known.get(name)
        if kind is not None and issubclass(kind, FaultloopError):
            return kind(str(told["message"]), detail=str(told["detail"]))
    return InfrastructureError(str(told["message"]), detail=str(told["detail"]))
