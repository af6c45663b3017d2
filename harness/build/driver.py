# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the guest driver for a kernel that was built; an entry of its own, so that it rebuilds no kernel.

The objects that were compiled for the base are kept. Another variant's build starts from a copy of them, and
make compiles what the patch touches, by the same rules as for the kernel (variant_tree): mostly nothing. Where
nothing differs that this build would read, as after most patches of .c files, the base's modules are taken.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from harness.build import inputs, objects, products
from harness.build.cache import ALL, digest, recorded
from harness.build.kbuild import OUT, RECIPE, Plan, make
from harness.build.limits import LimitExceeded
from harness.build.sandbox import Bind
from harness.build.variant_tree import Touched, mounts
from harness.errors import BuildError, DriverError, InfrastructureError, PatchedDriverError

ROOM = "drivers"
OBJECTS_ROOM = "driver-objects"
"""What variants of a base start from, under the key of the base's driver."""
_SOURCE = "/build/driver"
_WORK = "work"
_LOG = "driver.log"
_PROGRAMS = "tools/"
"""Where a .c file is of a program that a build runs; those of scripts/ have moved the configuration."""
_READ_OUT = ("out/.config", "out/Makefile", "out/Module.symvers")
_PRODUCTS = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".symvers", ".order")


def build(plan: Plan, entry: Path, touched: Touched | None, sources: Path, *, base: Callable[[], Path]) -> Path:
    """Entry of the driver for the kernel in ``entry``, whose source differs from the plan's by ``touched``.

    ``base`` gives the entry of the unpatched kernel. DriverError when the driver does not build for that one,
    PatchedDriverError when it does not for another.
    """
    files = _files(sources)

    def maker(folder: Path) -> None:
        if touched is None:
            _keep(_objects(plan, entry, files), folder)
            return
        names = [*touched.changed, *touched.removed]
        start = None
        if plan.sandbox.confined and not objects.moves_config(names):
            kernel = base()
            start = _start(plan, kernel, files)
            if start is not None and _comes_out_the_same(names, start.out, kernel, entry):
                _keep(start.out.parent, folder)
                return
        if start is not None:
            start.copy(folder / _WORK)
        else:
            _write(files, folder / _WORK)
        _make(plan, entry, touched, folder, newer_than=start.lineage.finished if start else 0.0)
        _take(folder / _WORK, folder)
        shutil.rmtree(folder / _WORK)

    return plan.cache.make(ROOM, _key(plan, entry.name, files), maker, read=ALL)


def _comes_out_the_same(touched: Collection[str], work: Path, base: Path, variant: Path) -> bool:
    """Whether the driver of ``variant`` would be that of the kernel ``base``, which was made in ``work``.

    So it is when a patch touches only .c files, none of which it was compiled from, and what the builds of both
    kernels made for external modules (generated headers, exported symbols, configuration, programs) is the same.
    """
    if not all(name.endswith(".c") and not name.startswith(_PROGRAMS) for name in touched):
        return False
    read = inputs.compiled(work, 0.0)
    return bool(read) and read.isdisjoint(touched) and _for_modules(base) == _for_modules(variant)


def _for_modules(kernel: Path) -> dict[str, tuple[int, str]]:
    """What external modules are built with, of a kernel's entry: size and SHA-256."""
    return {
        name: told
        for name, told in recorded(kernel).items()
        if name.startswith("out/")
        and ("/include/" in name or name.startswith("out/scripts/") or name in _READ_OUT)
    }


def _start(plan: Plan, kernel: Path, files: Mapping[str, bytes]) -> objects.Start | None:
    """The objects for the unpatched ``kernel``; None where they cannot be had."""
    try:
        return objects.Start(_objects(plan, kernel, files) / _WORK, objects.of_base(kernel).lineage)
    except DriverError:  # another commit of a bisection may well have what the driver needs
        return None


def _objects(plan: Plan, base: Path, files: Mapping[str, bytes]) -> Path:
    """Entry of the driver's sources and all that make leaves beside them, for the unpatched kernel.

    All of it is given the time at which that kernel was finished, whenever it was made: it is newer then than any
    header that the kernel's build generated, and older than what a variant's build generated otherwise.
    """

    def maker(folder: Path) -> None:
        _write(files, folder / _WORK)
        _make(plan, base, None, folder)
        finished = objects.of_base(base).lineage.finished
        for path in (folder / _WORK).rglob("*"):
            os.utime(path, (finished, finished), follow_symlinks=False)

    return plan.cache.make(OBJECTS_ROOM, _key(plan, base.name, files), maker, read=ALL)


def _make(plan: Plan, kernel: Path, touched: Touched | None, folder: Path, *, newer_than: float = 0.0) -> None:
    """Build the driver in ``folder/work`` for the kernel in the entry ``kernel``; errors as of `build`.

    ``newer_than``: when what lies there already was made, as of `mounts`.
    """
    source = mounts(plan.kernel.tree, touched, folder, newer_than, confined=plan.sandbox.confined)
    binds = [*source, Bind(kernel / "out", OUT), Bind(folder / _WORK, _SOURCE, writable=True)]
    what = f"build the guest driver for{' the unpatched' if touched is None else ''}"
    try:
        make(plan, [f"M={_SOURCE}", "modules"], binds, folder / _LOG, {}, what=what)
    except (BuildError, LimitExceeded) as error:
        kind = DriverError if touched is None else PatchedDriverError
        raise kind(error.message, detail=error.detail) from error
    shutil.rmtree(folder / "src", ignore_errors=True)


def _keep(made: Path, folder: Path) -> None:
    """Take modules and log out of an entry of `_objects`."""
    shutil.copyfile(made / _LOG, folder / _LOG)
    _take(made / _WORK, folder)


def _write(files: Mapping[str, bytes], work: Path) -> None:
    for name, content in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)


def _take(work: Path, folder: Path) -> None:
    """Copy the modules that were built."""
    for module in sorted(work.glob("*.ko")):
        products.keep(work, module.name, folder / module.name)


def key(plan: Plan, kernel: str, sources: Path) -> str:
    """Cache key of the driver for the kernel of this key."""
    return _key(plan, kernel, _files(sources))


def _key(plan: Plan, kernel: str, files: Mapping[str, bytes]) -> str:
    identity = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return digest("driver", RECIPE, *plan.sandbox.mark, kernel, identity)


def _files(sources: Path) -> dict[str, bytes]:
    files = {
        p.relative_to(sources).as_posix(): p.read_bytes() for p in sorted(sources.rglob("*")) if _is_source(p)
    }
    if not {"Makefile", "Kbuild"}.intersection(files):
        raise InfrastructureError(f"{sources}: the guest driver's sources are not there (no Makefile, no Kbuild)")
    return files


def _is_source(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(_PRODUCTS) and not path.name.startswith(".")
