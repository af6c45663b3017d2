# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything a job needs before a guest can boot, made on first use and kept in the cache."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from harness import layout
from harness.build import compile_log, emulator, emulator_bench, guest, kernel
from harness.build.cache import Cache
from harness.build.sandbox import UNCONFINED, Sandbox, of_user
from harness.build.variant_tree import Touched
from harness.jobs import pool as machines
from harness.model import BuiltKernel, Emulator, GuestImage, Kernel, Series, Setup
from harness.progress import Progress, Step
from harness.sources import kernels, patch_input
from harness.sources.debian import DebianRoot
from harness.sources.patch_input import Given
from harness.temporary import sweep

_NINJA = re.compile(r"\[(\d+)/(\d+)\] ")
"""``[12/1234] Compiling C object ...``"""


class Workshop:
    """Cache, sandbox and sources of one run; hands out emulator, guest image and kernels."""

    def __init__(self, progress: Progress | None = None, *, pool: str = "") -> None:
        root = layout.cache_root()
        sweep()
        self.progress = progress or Progress(root / "timings.json")
        self.cache = Cache(root, notice=self.progress.say)
        self.cores = os.cpu_count() or 1
        self._kernels: dict[str, Kernel] = {}
        self.elsewhere = machines.elsewhere(
            pool, cache=self.cache, sandbox=lambda: self.sandbox, say=self.progress.say
        )

    @cached_property
    def sandbox(self) -> Sandbox:
        made = of_user()
        if not made.confined:
            self.progress.say(UNCONFINED)
        return made

    @cached_property
    def debian(self) -> DebianRoot:
        return DebianRoot(self.cache, notice=self.progress.say)

    @cached_property
    def emulator(self) -> Emulator:
        return self._emulator("")

    @cached_property
    def sanitized_emulator(self) -> Emulator:
        """With AddressSanitizer and UndefinedBehaviorSanitizer: for what tries to break it."""
        return self._emulator(emulator.SANITIZED)

    def _emulator(self, flavour: str) -> Emulator:
        with self.progress.step(f"{flavour} emulator".strip()) as step:
            built = emulator.build(
                cache=self.cache,
                sandbox=self.sandbox,
                sources=self.debian,
                on_output=_counting(step),
                flavour=flavour,
            )
            step.note = built.version + ("" if step.worked else ", from the cache")
        return built

    @contextmanager
    def emulator_bench(self, flavour: str = "") -> Iterator[emulator_bench.Bench]:
        """The emulator's source and objects, to change and to build again; the emulator itself is built first."""
        self._emulator(flavour)
        with ExitStack() as stack:
            with self.progress.step("bench") as step:
                job = emulator.plan(
                    cache=self.cache,
                    sandbox=self.sandbox,
                    sources=self.debian,
                    on_output=_counting(step),
                    flavour=flavour,
                )
                bench = stack.enter_context(emulator_bench.bench(job))
            yield bench

    @cached_property
    def guest_image(self) -> GuestImage:
        with self.progress.step("guest image") as step:
            image = guest.build(
                cache=self.cache, debian=self.debian, sandbox=self.sandbox, on_output=_counting(step)
            )
            step.note = "" if step.worked else "from the cache"
        return image

    def patches(self, names: Sequence[str], *, version: int | None, tree: str) -> Given:
        """What the user calls a patch, read; see `patch_input`."""
        return patch_input.read(
            names,
            version=version,
            tree=Path(tree or ".").expanduser(),
            mails=self.cache.root / "mails",
            say=self.progress.say,
        )

    def kernel(self, name: str) -> Kernel:
        """The source tree that ``name`` stands for, looked up once; empty: the default of kernels.yaml."""
        name = name or kernels.default()
        if name in self._kernels:
            return self._kernels[name]
        with self.progress.step(f"kernel source {name}") as step:
            found = kernels.resolve(name, cache=self.cache, debian=self.debian, sandbox=self.sandbox)
            step.note = found.origin
        self._kernels[name] = found
        return found

    def variant(
        self,
        base: Kernel,
        series: Series | None = None,
        *,
        setup: Setup | None = None,
        symbols: bool = False,
        step: Touched | None = None,
        name: str = "",
    ) -> BuiltKernel:
        """The kernel that ``setup`` runs (the default's, when there is none), with ``series`` on top.

        ``symbols``: with debug information, a variant of its own whose code is the same. ``step``, in place of a
        series: the commit ``name`` of a bisection, which differs from ``base`` by these files.
        """
        series = series or Series()
        fragments = kernel.fragments(setup) if setup else kernel.DEFAULT_FRAGMENTS
        fragments += (kernel.DEBUGINFO,) if symbols else ()
        special = [name for name in fragments if name not in kernel.DEFAULT_FRAGMENTS]
        how = f", {', '.join(special)}" if special else ""
        what = f"{'patched' if series.patches else 'base'} kernel {base.version}{how}"
        series_of = ".".join(base.version.split(".")[:2])  # the next version of a series has as many objects
        like = "kernel of a bisection" if name else what.replace(base.version, series_of)
        with self.progress.step(name or what, like=like) as told:
            on_output = _counting(told)
            if self.elsewhere is not None and step is None:  # the objects of its neighbours are here
                self.elsewhere.kernel(base, series, fragments, on_output=on_output)
            built = kernel.build(
                base,
                series,
                cache=self.cache,
                sandbox=self.sandbox,
                jobs=self.cores,
                on_output=on_output,
                fragments=fragments,
                step=step,
            )
            told.note = f"{built.objects} objects" + ("" if told.worked else ", from the cache")
        return built


def _counting(step: Step) -> Callable[[str], None]:
    """Show how many objects are compiled, and the last line. A step that says nothing came from the cache."""
    step.worked = False

    def on_output(line: str) -> None:
        step.worked = True
        if ninja := _NINJA.match(line):
            step.count(int(ninja[1]), int(ninja[2]), "steps")
        elif compile_log.is_object(line):
            step.count(step.done + 1)
        step.update(line.strip())

    return on_output
