# SPDX-License-Identifier: GPL-2.0-or-later
"""Build the guest driver for a kernel that was built; an entry of its own, so that it rebuilds no kernel."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.build import products
from harness.build.cache import ALL, digest
from harness.build.kbuild import OUT, RECIPE, Plan, make
from harness.build.limits import LimitExceeded
from harness.build.sandbox import Bind
from harness.build.variant_tree import Touched, mounts
from harness.errors import BuildError, DriverError, InfrastructureError, PatchedDriverError

ROOM = "drivers"
_SOURCE = "/build/driver"
_PRODUCTS = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".symvers", ".order")


def build(plan: Plan, entry: Path, touched: Touched | None, sources: Path) -> Path:
    """Entry of the driver for the kernel in ``entry``, whose source differs from the plan's by ``touched``.

    DriverError when it does not build for the base, PatchedDriverError when it does not for another.
    """
    files = _files(sources)

    def maker(folder: Path) -> None:
        work = folder / "work"
        for name, content in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(content)
        source = mounts(plan.kernel.tree, touched, folder, 0.0, confined=plan.sandbox.confined)
        binds = [*source, Bind(entry / "out", OUT), Bind(work, _SOURCE, writable=True)]
        what = "build the guest driver for" if touched else "build the guest driver for the unpatched"
        try:
            make(plan, [f"M={_SOURCE}", "modules"], binds, folder / "driver.log", {}, what=what)
        except (BuildError, LimitExceeded) as error:
            if touched is None:
                raise DriverError(error.message, detail=error.detail) from error
            raise PatchedDriverError(error.message, detail=error.detail) from error
        for module in sorted(work.glob("*.ko")):
            products.keep(work, module.name, folder / module.name)
        shutil.rmtree(work)
        shutil.rmtree(folder / "src", ignore_errors=True)

    return plan.cache.make(ROOM, _key(plan, entry.name, files), maker, read=ALL)


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
