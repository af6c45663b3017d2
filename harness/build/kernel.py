# SPDX-License-Identifier: GPL-2.0-or-later
"""Build a variant: kernel image and guest driver, in the sandbox, at one constant path.

The base's entry in the cache keeps its object tree. A patched variant starts from a copy of that tree and
lets make rebuild what the patch touches (variant_tree says how); its own entry keeps what external modules
need. The driver is an entry of its own, so that a change in it does not rebuild kernels.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.build import compile_log, driver, inputs, kconfig, objects, products, toolchain
from harness.build.cache import ALL, Cache, file_sha256, need_space
from harness.build.kbuild import OUT, OnOutput, Plan, make
from harness.build.limits import LimitExceeded
from harness.build.sandbox import Bind, Sandbox
from harness.build.variant_tree import Touched, mounts, write_touched
from harness.errors import BuildError
from harness.layout import Layout, project
from harness.model import BuiltKernel, Kernel, Series, Setup
from harness.shown import one_line
from harness.sources import patch_apply
from harness.temporary import temporary


def fragments(setup: Setup) -> tuple[str, ...]:
    """Files of ``kconfigs/``, without suffix, in order, for the kernel of a setup."""
    more = [("debug", setup.debug), ("kasan", setup.kasan), ("no-contpte", not setup.contpte)]
    return ("base", f"{setup.page_kib}k", "sva", "lockdep", *(name for name, wanted in more if wanted))


DEFAULT_FRAGMENTS = fragments(Setup("default", ""))
DEBUGINFO = "debuginfo"
"""The fragment that gives a kernel symbols and types, and leaves its code as it is."""

_ROOM = "kernels"
_BOOTED = ("Image", "config", "build.json", "*.ko", "*/modules.order")
"""What of a variant gets into guests and results: looked at whenever it is used."""
_ALLCONFIG = "/build/all.config"
_BASE_GIB = 3.0
_LONGEST_RELEASE = 64
"""Characters of ``uname -r`` (__NEW_UTS_LEN of Linux)."""
_VARIANT_GIB = 1.0


def build(
    kernel: Kernel,
    series: Series,
    *,
    cache: Cache,
    sandbox: Sandbox,
    jobs: int | None = None,
    on_output: OnOutput | None = None,
    fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    layout: Layout | None = None,
    step: Touched | None = None,
) -> BuiltKernel:
    """The variant ``kernel`` + ``series``, from the cache or built. An empty series is the base.

    ``step``, in place of a series: the files by which a bisection's commit differs from ``kernel``; it is built
    from the objects of the nearest commit.
    ``on_output`` gets every line of make. Raises PatchError (does not apply), BuildError (does not compile, with
    the compiler's lines), KernelConfigError (an option got lost) and InfrastructureError.
    """
    layout = layout or project()
    plan = _plan(kernel, cache, sandbox, jobs, on_output, fragments, layout)
    if step is not None:
        entry, touched = _stepped(plan, step)
    else:
        entry, touched = _patched(plan, series) if series.patches else (_base(plan), None)
    modules = driver.build(plan, entry, touched, layout.driver, base=lambda: _base(plan))
    facts = json.loads((entry / "build.json").read_text(encoding="utf-8"))
    return BuiltKernel(
        kernel=kernel,
        series=series,
        key=modules.name,
        image=entry / "Image",
        modules=(*sorted(modules.glob("*.ko")), *objects.in_tree_modules(entry / "out")),
        config=entry / "config",
        log=entry / "build.log",
        release=facts["release"],
        image_sha256=facts["image_sha256"],
        objects=facts["objects"],
        seconds=facts["seconds"],
        warnings=tuple(facts["warnings"]),
        confined=sandbox.confined,
    )


@dataclass(frozen=True, slots=True)
class Entries:
    """Where the cache keeps what makes up a variant: room and key of each."""

    base: tuple[str, str]
    kernel: tuple[str, str]
    """The base's, when the series changes nothing."""
    driver: tuple[str, str]
    driver_objects: tuple[str, str]
    """What the drivers of all variants of that base start from."""


def entries(
    kernel: Kernel,
    series: Series,
    *,
    cache: Cache,
    sandbox: Sandbox,
    fragments: Sequence[str] = DEFAULT_FRAGMENTS,
    layout: Layout | None = None,
) -> Entries:
    """What :func:`build` would make of the same, whether it is there or not; PatchError as there."""
    layout = layout or project()
    plan = _plan(kernel, cache, sandbox, None, None, fragments, layout)
    base = key = plan.key(None)
    if series.patches:
        with temporary("apply") as scratch:
            fresh = _applied(plan, series, Path(scratch))
            key = plan.key(fresh) if fresh.changed or fresh.removed else base
    return Entries(
        base=(_ROOM, base),
        kernel=(_ROOM, key),
        driver=(driver.ROOM, driver.key(plan, key, layout.driver)),
        driver_objects=(driver.OBJECTS_ROOM, driver.key(plan, base, layout.driver)),
    )


def _plan(
    kernel: Kernel,
    cache: Cache,
    sandbox: Sandbox,
    jobs: int | None,
    on_output: OnOutput | None,
    fragments: Sequence[str],
    layout: Layout,
) -> Plan:
    paths = [layout.kconfigs / f"{name}.config" for name in fragments]
    return Plan(
        kernel=kernel,
        options=kconfig.read_fragments(paths, kernel.version),
        tools=toolchain.kernel_versions(),
        cache=cache,
        sandbox=sandbox,
        jobs=jobs or os.cpu_count() or 1,
        on_output=on_output or (lambda line: None),
    )


def find(cache: Cache, key: str, image_sha256: str) -> tuple[Path, tuple[Path, ...], Path] | None:
    """Image, modules and configuration of a variant that was built, by key and hash; None if gone."""
    found = cache.get(driver.ROOM, key, read=ALL)
    if found is None:
        return None
    for entry in cache.entries(_ROOM):
        facts = json.loads((entry / "build.json").read_text(encoding="utf-8"))
        if facts["image_sha256"] == image_sha256 and cache.get(_ROOM, entry.name, read=_BOOTED):
            modules = (*sorted(found.glob("*.ko")), *objects.in_tree_modules(entry / "out"))
            return entry / "Image", modules, entry / "config"
    return None


def _base(plan: Plan, read: Sequence[str] = _BOOTED) -> Path:
    key = plan.key(None)

    def maker(folder: Path) -> None:
        need_space(plan.cache.root, _BASE_GIB, "building a kernel")
        inputs.check(plan.cache, plan.kernel)
        (folder / "out").mkdir()
        source = mounts(plan.kernel.tree, None, folder, 0.0, confined=plan.sandbox.confined)
        _compile(plan, folder, source, configured=False)
        shutil.rmtree(folder / "src", ignore_errors=True)

    return plan.cache.make(_ROOM, key, maker, read=read)


def _patched(plan: Plan, series: Series) -> tuple[Path, Touched | None]:
    """Entry of the patched variant, and what the series touches as it lies in that entry; None for nothing."""
    with temporary("apply") as scratch:
        fresh = _applied(plan, series, Path(scratch))
        if not fresh.changed and not fresh.removed:
            return _base(plan), None

        def maker(folder: Path) -> None:
            _rebuild(plan, folder, fresh, objects.of_base(_base(plan, objects.COPIED)))
            objects.prune(folder / "out")

        entry = plan.cache.make(_ROOM, plan.key(fresh), maker, read=_BOOTED)
    return entry, Touched(entry / "touched", fresh.removed)


def _has_symbols(plan: Plan) -> bool:
    return any(option.name == "DEBUG_INFO_NONE" and option.value == kconfig.NOT_SET for option in plan.options)


def _applied(plan: Plan, series: Series, scratch: Path) -> Touched:
    """The files that the series touches, as they are afterwards, in ``scratch``."""
    inputs.check(plan.cache, plan.kernel, series.files)
    applied = scratch / "applied"
    applied.mkdir()
    result = patch_apply.apply(plan.kernel.tree, series, applied)
    (folder := scratch / "touched").mkdir()
    return write_touched(result, applied, folder)


def _stepped(plan: Plan, fresh: Touched) -> tuple[Path, Touched | None]:
    """The same for a commit that lies ``fresh`` away from the base."""
    if not fresh.changed and not fresh.removed:
        return _base(plan), None
    key = plan.key(fresh, "step")

    def maker(folder: Path) -> None:
        store = objects.Store(plan.cache, plan.key(None))
        with store.nearest(fresh, _base(plan, objects.COPIED)) as start:
            lineage = _rebuild(plan, folder, fresh, start)
        if plan.sandbox.confined:
            store.keep(key, folder / "out", lineage)
        objects.prune(folder / "out")

    entry = plan.cache.make(_ROOM, key, maker, read=_BOOTED)
    return entry, Touched(entry / "touched", fresh.removed)


def _rebuild(plan: Plan, folder: Path, fresh: Touched, start: objects.Start) -> objects.Lineage:
    """Build the base's tree with ``fresh`` in ``folder``, from a copy of the objects of ``start``."""
    need_space(plan.cache.root, _VARIANT_GIB, "building a patched kernel")
    confined = plan.sandbox.confined
    touched, lineage, moved = start.lay_out(plan.kernel.tree, fresh, folder / "touched")
    finished = start.lineage.finished
    source = mounts(plan.kernel.tree, touched, folder, finished, confined=confined, times=lineage.times)
    if confined:
        start.copy(folder / "out")
    else:  # its objects were compiled at another path
        (folder / "out").mkdir()
    try:
        _compile(plan, folder, source, configured=confined and not objects.moves_config(moved))
    except LimitExceeded as error:  # the base keeps within the same limits
        raise BuildError(error.message, detail=error.detail) from error
    except BuildError:
        inputs.check(plan.cache, plan.kernel)  # or it is the source's fault
        raise
    inputs.check(plan.cache, plan.kernel, inputs.compiled(folder / "out", lineage.finished))
    shutil.rmtree(folder / "src", ignore_errors=True)
    return lineage


def _compile(plan: Plan, folder: Path, source: Sequence[Bind], *, configured: bool) -> None:
    """Configure, unless ``configured`` already, build into ``folder/out``, and put the results beside it.

    One kernel is built at a time on a host: two would only slow each other down, and need twice the memory.
    """
    with plan.cache.lock("kernel-build", waiting="waiting: another process builds a kernel"):
        _compile_alone(plan, folder, source, configured=configured)


def _compile_alone(plan: Plan, folder: Path, source: Sequence[Bind], *, configured: bool) -> None:
    started = time.monotonic()
    allconfig = folder / "all.config"
    allconfig.write_text(kconfig.merged(plan.options), encoding="utf-8")
    log = folder / "build.log"
    binds = [*source, Bind(folder / "out", OUT, writable=True), Bind(allconfig, _ALLCONFIG)]
    if not configured:
        make(plan, ["allnoconfig"], binds, log, {"KCONFIG_ALLCONFIG": _ALLCONFIG}, what="configure")
    out = folder / "out"
    kconfig.check(plan.options, products.read_text(out, ".config"))
    targets = ["Image", "modules", *(["scripts_gdb"] if _has_symbols(plan) else [])]
    lines = make(plan, targets, binds, log, {}, what="build")
    image = folder / "Image"
    for made, kept in (
        ("arch/arm64/boot/Image", image),
        (".config", folder / "config"),
        ("System.map", folder / "System.map"),
    ):
        products.keep(out, made, kept)
    if _has_symbols(plan):
        products.keep(out, "vmlinux", folder / "vmlinux")
    # Again: what is recorded is what was built with.
    kconfig.check(plan.options, (folder / "config").read_text(encoding="utf-8", errors="replace"))
    facts = {
        "release": one_line(products.read_text(out, "include/config/kernel.release").strip())[:_LONGEST_RELEASE],
        "image_sha256": file_sha256(image),
        "objects": sum(compile_log.is_object(line) for line in lines),
        "seconds": round(time.monotonic() - started, 1),
        "warnings": list(compile_log.warnings(lines)),
        "finished": time.time(),
        "toolchain": dict(plan.tools),
    }
    (folder / "build.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
