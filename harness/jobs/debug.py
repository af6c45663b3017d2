# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop debug`` and ``faultloop vmcore``: a guest stopped where a path goes wrong, for gdb or drgn."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import layout, whole
from harness.build import kconfig
from harness.build.lab import build_id, lab, need_gdb, system_map, vmlinux
from harness.errors import ExitStatus, GuestPanicked
from harness.jobs.base import base_of
from harness.jobs.results import RunFolder
from harness.jobs.trace import one_path
from harness.jobs.workshop import Workshop
from harness.model import BuiltKernel, Series, Setup
from harness.oracle import ktap
from harness.shown import one_line, printable
from harness.sources import catalogue
from harness.sources.patch_input import Given
from harness.temporary import temporary
from harness.vm import vmcore
from harness.vm.inspect import InspectedGuest, Stop
from harness.vm.machine import GuestSpec

_APPEND = ("nokaslr",)
_VA_BITS = "ARM64_VA_BITS"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked into."""

    shop: Workshop
    built: BuiltKernel
    """With symbols."""
    setup: Setup
    argv: tuple[str, ...]
    """What runs in the guest."""
    name: str

    def guest(self, logs: Path) -> InspectedGuest:
        spec = GuestSpec.of(self.shop.emulator, self.built, self.shop.guest_image, self.setup, append=_APPEND)
        return InspectedGuest(spec, logs)


def subject(
    shop: Workshop, *, workload: str, command: str, kernel: str, patches: tuple[str, ...], setup: str, accel: str
) -> Subject:
    """The kernel built with symbols, and what to run on it: a path of the catalogue or a command of the user's."""
    path = "" if command else one_path(workload).path
    chosen = catalogue.setups(layout.project().setups, setup, accel=accel)[0]
    given = shop.patches(patches, version=None, tree="") if patches else Given(Series())
    base = base_of(given, shop, asked=kernel, tree="").kernel
    built = shop.variant(base, given.series, setup=chosen, symbols=True)
    hold = ["/faultloop/workloads", "--hold", *([] if chosen.iotlb else ["--uncached"]), path]
    return Subject(shop, built, chosen, ("sh", "-c", command) if command else tuple(hold), path or "command")


def debug(found: Subject, *, with_drgn: bool, commands: Sequence[str]) -> int:
    """Stop the guest at the first LOOP or STALE and hand it to gdb, or its dump to drgn. The debugger's status."""
    if not with_drgn:
        need_gdb()
    shop = found.shop
    with (
        temporary("debug") as folder,
        found.guest(Path(folder, "logs")) as guest,
        lab(found.built, sandbox=shop.sandbox, scratch=shop.cache.root) as table,
    ):
        stop = guest.run_to_stop(found.argv)
        if not isinstance(stop, Stop):
            return _no_stop(found, stop.stdout)
        where = "" if stop.address is None else f" at {stop.address:#x}"
        print(f"stopped: {found.name} {stop.what}{where}; the guest ends when you leave", file=sys.stderr)
        if with_drgn:
            core = Path(folder, "vmcore")
            _dump(guest, found, core)
            return table.drgn(core, commands)
        (sockets := Path(folder, "gdb")).mkdir(mode=0o700)
        guest.gdb_server(sockets / "stub")
        return table.gdb(sockets / "stub", stop.address, commands)


@dataclass(frozen=True, slots=True)
class Dumped:
    """A vmcore that was kept."""

    folder: Path
    what: str
    """``PANIC``, ``LOOP`` or ``STALE``."""
    trace: str
    """The panic's, decoded; empty: there was none."""


def dump(found: Subject, results: Path) -> Dumped | None:
    """Run it, and keep memory and symbols when the kernel panics or the path is stopped; None: neither came."""
    folder = RunFolder(results, f"vmcore {found.name}")
    kept: Dumped | None = None
    with folder.open() as where:
        with found.guest(where) as guest:
            what = trace = ""
            try:
                stop = guest.run_to_stop(found.argv)
                if isinstance(stop, Stop):
                    what = stop.what
                else:
                    _no_stop(found, stop.stdout)
            except GuestPanicked as error:
                what, trace = "PANIC", error.detail
            if what:
                guest.stop()
                _dump(guest, found, where / "vmcore")
        if what:
            shutil.copyfile(vmlinux(found.built), where / "vmlinux")
            if trace:
                with lab(found.built, sandbox=found.shop.sandbox, scratch=found.shop.cache.root) as table:
                    trace = table.decode(printable(trace))
                whole.write(where / "trace.txt", trace)
            kept = Dumped(folder.keep_files(lambda _: None), what, trace)
        else:
            shutil.rmtree(where)
    return kept


def dump_json(dumped: Dumped | None) -> str:
    """For programs: ``faultloop/vmcore/1``."""
    kept = {"what": dumped.what, "vmcore": str(dumped.folder / "vmcore"), "trace": dumped.trace} if dumped else {}
    return json.dumps({"schema": "faultloop/vmcore/1", "what": None, **kept}, indent=1) + "\n"


def examine(found: Subject, core: Path, commands: Sequence[str]) -> int:
    """drgn on a dump that was kept."""
    with lab(found.built, sandbox=found.shop.sandbox, scratch=found.shop.cache.root) as table:
        return table.drgn(core, commands)


def _dump(guest: InspectedGuest, found: Subject, core: Path) -> None:
    raw = core.with_name(f".{core.name}.raw")
    try:
        guest.dump_memory(raw)
        vmcore.finish(raw, _facts(found), core)
    finally:
        raw.unlink(missing_ok=True)


def _facts(found: Subject) -> vmcore.Facts:
    options = kconfig.read_config(found.built.config.read_text(encoding="utf-8", errors="replace"))
    return vmcore.Facts(
        release=found.built.release,
        symbols=vmcore.symbols(system_map(found.built).read_text(encoding="utf-8")),
        va_bits=int(options.get(_VA_BITS, "48")),
        page_size=found.setup.page_kib << 10,
        build_id=build_id(found.built),
    )


def _no_stop(found: Subject, stdout: str) -> int:
    """The path had nothing to stop at: say what it did instead."""
    said = "the command ended" if found.name == "command" else f"{found.name} did not loop, and nothing was stale"
    if found.name != "command":
        outcome, reason, _ = ktap.judge(ktap.parse(stdout.splitlines()))
        said += f": {outcome}" + (f" ({one_line(reason)})" if reason else "")
    print(f"not stopped: {said}", file=sys.stderr)
    return ExitStatus.UNDECIDED
