# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop coverage``: which functions that raise a page-table entry did the workloads run, on this kernel?

The source is scanned for such functions, their code is found in the built kernel and probed in the guest, all
workloads run, and each function is shown with the workloads that had it raise an entry which the SMMU held
read-only, or with the reason why none did.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from harness.build import sites as code
from harness.build.cache import digest, file_sha256
from harness.coverage import Coverage, Scan, Sites
from harness.errors import ExitStatus
from harness.jobs.base import base_of
from harness.jobs.guests import GuestJob, GuestRunner
from harness.jobs.mended import series_of
from harness.jobs.results import RunFolder
from harness.jobs.test_patch import Request, one_kernel
from harness.jobs.workshop import Workshop
from harness.layout import project
from harness.model import BuiltKernel, Series
from harness.oracle import coverage as oracle
from harness.report import coverage as report
from harness.sources import catalogue, reasons, upgrades
from harness.sources.patch_input import Given

_ROOM = "scans"
_RECIPE = 1
_SCAN = TypeAdapter(Scan)
_REFUSED = re.compile(r"not probed: (\d+) .*: (.+)")
_SITES_LOG = "sites.log"


def coverage(request: Request, shop: Workshop) -> tuple[Coverage, ExitStatus]:
    """Measure the coverage of a kernel, with ``request.patches`` on top if there are any."""
    workloads = catalogue.workloads(project().workloads, request.workloads)
    setups = catalogue.setups(project().setups, request.setups, accel=request.accel)
    given = Given(Series())
    if request.patches:
        given = shop.patches(request.patches, version=request.version, tree=request.tree)
    kernel = base_of(given, shop, asked=request.kernel, tree=request.tree).kernel
    why = reasons.load(project().guest_tests / "workloads" / "coverage.yaml", series_of(kernel.version))
    emulator, image = shop.emulator, shop.guest_image
    base = shop.variant(kernel, setup=one_kernel(setups))
    built = shop.variant(kernel, given.series, setup=one_kernel(setups)) if given.series.patches else base
    scan = _scan(built, shop)
    sites = _sites(built, base, scan, shop)
    lines = tuple(oracle.probe(number, site) for number, site in enumerate(sites.sites))

    folder = RunFolder(request.results, f"coverage {kernel.version}")
    with folder.open() as where:
        runner = GuestRunner(shop.cache, emulator, image, fresh=request.fresh, elsewhere=shop.elsewhere)
        variant = "patched" if given.series.patches else "base"
        jobs = [GuestJob(variant, built, setup, workloads, sites=lines) for setup in setups]
        with shop.progress.step(f"{len(jobs)} guests, {len(lines)} probes", like="coverage guests") as step:
            done = step.counter(len(jobs), "guests")
            records = runner.run(jobs, where, at_once=request.guests_at_once, on_done=done)
            step.worked = runner.ran > 0
        made = oracle.rows(scan, sites, records, why, unprobed=_unprobed(where))
        found = Coverage(kernel, built, setups, made, oracle.faults(made, scan, why))
        status = ExitStatus.NOT_FIXED if found.missing or found.faults else ExitStatus.FIXES

        def write(partial: Path) -> None:
            (partial / "coverage.txt").write_text(report.plain(found), encoding="utf-8")
            (partial / "coverage.json").write_text(report.dump(found, status), encoding="utf-8")

        return replace(found, folder=folder.keep_files(write)), status


def _scan(built: BuiltKernel, shop: Workshop) -> Scan:
    changed = built.config.parent / "touched"
    changed = changed if changed.is_dir() else None  # type: ignore[assignment]
    files = sorted(p for p in changed.rglob("*") if p.is_file()) if changed else []
    touched = [[p.relative_to(changed).as_posix(), file_sha256(p)] for p in files]
    key = digest("scan", _RECIPE, built.kernel.digest, touched)

    def maker(folder: Path) -> None:
        found = upgrades.scan(built.kernel.tree, changed)
        (folder / "scan.json").write_bytes(_SCAN.dump_json(found, indent=1))

    with shop.progress.step("scan of the source") as step:
        entry = shop.cache.make(_ROOM, key, maker)
        scan = _SCAN.validate_json((entry / "scan.json").read_bytes())
        step.note = f"{len(scan.upgraders)} functions"
    return scan


def _sites(built: BuiltKernel, base: BuiltKernel, scan: Scan, shop: Workshop) -> Sites:
    with shop.progress.step("code of these functions") as step:
        sites = code.find(
            built,
            base,
            scan.upgraders,
            cache=shop.cache,
            sandbox=shop.sandbox,
            jobs=shop.cores,
            on_output=step.update,
        )
        step.note = f"{len(sites.sites)} places"
    return sites


def _unprobed(where: Path) -> dict[int, str]:
    """Sites that the guest's kernel refused to probe."""
    lines: Sequence[str] = [
        line
        for log in sorted(where.rglob(_SITES_LOG))
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return {int(m[1]): m[2] for line in lines if (m := _REFUSED.fullmatch(line.strip()))}
