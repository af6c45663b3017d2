# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel from nothing: configured and built, by the harness into its cache, and by make."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic

from bench.bench import Bench
from bench.frame import Measure, Pair, Row, Values
from bench.trees import BareTree
from harness.build import kconfig, kernel
from harness.build.kernel import DEFAULT_FRAGMENTS
from harness.model import Series


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    notes: list[str] = []
    shop = bench.shop

    def ours() -> Values:
        # The same tree under a name that no cache has; its entries are removed at once.
        fresh = replace(bench.kernel, digest=f"bench-{secrets.token_hex(16)}")
        entries = kernel.entries(fresh, Series(), cache=shop.cache, sandbox=shop.sandbox)
        began = monotonic()
        try:
            built = kernel.build(fresh, Series(), cache=shop.cache, sandbox=shop.sandbox, jobs=shop.cores)
            seconds = monotonic() - began
        finally:
            for room, key in (entries.driver, entries.driver_objects, entries.base):
                shop.cache.remove(room, key)
        notes.append(f"ours {built.objects} objects")
        return {"": seconds}

    def bare() -> Values:
        with bench.scratch("cold") as folder:
            allconfig = folder / "all.config"
            paths = [bench.project.kconfigs / f"{name}.config" for name in DEFAULT_FRAGMENTS]
            options = kconfig.read_fragments(paths, bench.kernel.version)
            allconfig.write_text(kconfig.merged(options), encoding="utf-8")
            tree = BareTree(bench, folder, cold=True)
            configured = tree.configure(allconfig)
            made = tree.make()
            notes.append(f"bare {made.objects} objects")
            return {"": configured + made.seconds}

    yield Pair(ours, bare, notes)


MEASURES = (
    Measure(
        "cold",
        (Row("", "a kernel and its driver, from nothing", reach=1.05),),
        _prepare,
        asked="COLD",
        takes="two kernels are built, 20 to 40 minutes",
    ),
)
