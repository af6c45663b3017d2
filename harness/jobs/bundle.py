# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop bundle``: a run, and all that it takes to have it again without building, in one archive."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from harness import __version__
from harness.build import emulator, guest, kernel
from harness.build.cache import Cache
from harness.errors import UserError
from harness.jobs import kept
from harness.report.schema import RunFile
from harness.sources import bundle
from harness.sources.bundle import EmulatorFacts

_GUEST = ("initramfs", "disk", "client_key", "host_key.pub", "packages")
_SCRIPT = """#!/bin/sh
# Boots the guests of this run again, from the files of this bundle, and says of each path whether its outcome is
# the same. Nothing is built. Needs the command faultloop, or a checkout of it named by FAULTLOOP.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "${FAULTLOOP:+$FAULTLOOP/}faultloop" reproduce "$@" -- "$here"
"""


def write(run: Path, cache: Cache, target: Path | None = None) -> Path:
    """The archive of the run in folder ``run``, beside that folder unless ``target`` says where.

    UserError when there is no run, or when the cache holds something of it no longer.
    """
    file = kept.read(run)
    run = run.resolve()
    target = target or run.with_name(run.name + bundle.SUFFIX)
    files: dict[str, Path | bytes] = {"reproduce.sh": _SCRIPT.encode()}
    files |= {f"run/{path.relative_to(run)}": path for path in _files(run) if path.name != "reproduce.sh"}
    for variant, built in (("base", file.builds.base), ("patched", file.builds.patched)):
        if built is not None:
            files |= _kernel(cache, variant, built.key, built.image_sha256)
    program, facts = _emulator(cache, file)
    files["emulator/qemu-system-aarch64"] = program
    image = _entry(cache, guest.ROOM, file.guest.key, "the guest image")
    files |= {f"guest/{name}": image / name for name in _GUEST}
    bundle.pack(files, facts, __version__, target)
    return target


def _kernel(cache: Cache, variant: str, key: str, image_sha256: str) -> dict[str, Path | bytes]:
    found = kernel.find(cache, key, image_sha256)
    if found is None:
        raise _gone(f"the {variant} kernel")
    image, modules, config = found
    files: dict[str, Path | bytes] = {f"kernels/{variant}/Image": image, f"kernels/{variant}/config": config}
    return files | {f"kernels/{variant}/modules/{module.name}": module for module in modules}


def _emulator(cache: Cache, file: RunFile) -> tuple[Path, EmulatorFacts]:
    program = _entry(cache, emulator.ROOM, file.emulator.key, "the emulator") / emulator.BINARY
    facts = EmulatorFacts(
        key=file.emulator.key,
        version=file.emulator.version,
        origin=file.emulator.origin,
        machine=os.uname().machine,
        libraries=_libraries(program),
    )
    return program, facts


def _libraries(program: Path) -> tuple[str, ...]:
    """Shared libraries that a program of this host asks for, by name."""
    try:
        with program.open("rb") as file:
            dynamic = ELFFile(file).get_section_by_name(".dynamic")
            tags: Iterable[Any] = dynamic.iter_tags("DT_NEEDED") if isinstance(dynamic, DynamicSection) else ()
            return tuple(sorted(str(tag.needed) for tag in tags))
    except ELFError:
        return ()


def _entry(cache: Cache, room: str, key: str, what: str) -> Path:
    found = cache.get(room, key) if key else None
    if found is None:
        raise _gone(what)
    return found


def _gone(what: str) -> UserError:
    return UserError(
        f"{what} of this run is not in the cache any more; run it again (its reproduce.sh does), then bundle that"
    )


def _files(run: Path) -> list[Path]:
    """The run's own files. A link is nothing that a run leaves."""
    return sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
