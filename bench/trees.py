# SPDX-License-Identifier: GPL-2.0-or-later
"""The bare side of a kernel build: make, in a tree that was built before, after one file of it was changed.

It runs at the path at which the harness builds, for a command line is part of what make compares: in bubblewrap
with a few mounts, and with nothing of what the harness puts around a build (limits, watch, log, cache entry).
"""

from __future__ import annotations

import difflib
import itertools
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.bench import Bench, timed
from harness.build import compile_log, kbuild
from harness.build import kernel as builder
from harness.build.variant_tree import SOURCE
from harness.errors import InfrastructureError
from harness.model import BuiltKernel, Series
from harness.sources.archive import copy_tree, link_tree

_OUT, _DRIVER = "/build/out", "/build/driver"
_HOST = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc/alternatives", "etc/ld.so.cache")
_numbers = itertools.count(1)


def marked(name: str, text: str) -> str:
    """``text`` of a source file with something in it that was never built before."""
    mark = f"faultloop_bench_{next(_numbers)}_{secrets.token_hex(6)}"
    if name.endswith(".h"):
        return f"{text}\n#define {mark} 1\n"
    return f'{text}\nstatic const char {mark}[] __used = "{mark}";\n'


def diff(name: str, before: str, after: str) -> str:
    """A patch as a mail has it."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    head = (
        "From: A U Thor <author@example.invalid>\nSubject: [PATCH] bench: a change that was never built\n\n---\n"
    )
    return f"{head}diff --git a/{name} b/{name}\n{''.join(lines)}"


@dataclass(frozen=True, slots=True)
class Made:
    """One bare build."""

    seconds: float
    objects: int
    built: BuiltKernel
    """The base's facts, with the image and the modules that were built."""


class BareTree:
    """A source tree of hard links and a copy of the base's objects in ``folder``, both to be changed at will."""

    def __init__(self, bench: Bench, folder: Path, *, cold: bool = False) -> None:
        self._bench = bench
        self._base = bench.base
        self._folder = folder
        self.source, self._out, self._driver = folder / "src", folder / "out", folder / "driver"
        link_tree(bench.kernel.tree, self.source)
        shop = bench.shop
        entry = shop.cache.get(
            *builder.entries(bench.kernel, Series(), cache=shop.cache, sandbox=shop.sandbox).base
        )
        if entry is None:
            raise InfrastructureError("the base kernel is gone from the cache")
        if cold:
            self._out.mkdir()
        else:
            copy_tree(entry / "out", self._out)
        shutil.copytree(bench.project.driver, self._driver)

    def write(self, name: str, text: str) -> None:
        """Change a file; the inode that it shares with the cache stays as it is."""
        path = self.source / name
        path.unlink()
        path.write_text(text, encoding="utf-8")

    def configure(self, allconfig: Path) -> float:
        """Seconds of ``make allnoconfig`` with the options of a file."""
        more = ["--ro-bind", str(allconfig), "/build/all.config"]
        return self._make(["allnoconfig"], more, {"KCONFIG_ALLCONFIG": "/build/all.config"})[0]

    def make(self) -> Made:
        """Image, modules, and the guest's driver."""
        seconds, objects = self._make(["Image", "modules"])
        driver, _ = self._make([f"M={_DRIVER}", "modules"])
        modules = (*sorted(self._driver.glob("*.ko")), *self._in_tree())
        image = self._out / "arch/arm64/boot/Image"
        return Made(seconds + driver, objects, replace(self._base, image=image, modules=modules))

    def _in_tree(self) -> list[Path]:
        names = (self._out / "modules.order").read_text(encoding="utf-8").split()
        return [self._out / Path(name.removeprefix("kernel/")).with_suffix(".ko") for name in names]

    def _make(
        self, targets: Sequence[str], more: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> tuple[float, int]:
        words = [
            "bwrap",
            "--die-with-parent",
            "--unshare-net",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
        ]
        for name in _HOST:
            words += ["--ro-bind-try", f"/{name}", f"/{name}"]
        for source, target in ((self.source, SOURCE), (self._out, _OUT), (self._driver, _DRIVER)):
            words += ["--bind", str(source), target]
        words += [*more, "--clearenv"]
        basic = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/tmp", "LC_ALL": "C", "TZ": "UTC"}
        for name, value in (basic | dict(kbuild.ENVIRONMENT) | dict(env or {})).items():
            words += ["--setenv", name, value]
        jobs = f"-j{self._bench.shop.cores}"
        ran = timed([*words, "--chdir", _OUT, "make", "-C", SOURCE, f"O={_OUT}", jobs, *targets])
        return ran.seconds, sum(compile_log.is_object(line) for line in ran.stdout.splitlines())
