# SPDX-License-Identifier: GPL-2.0-or-later
"""From a run to its ``run.json`` (``harness.report.schema``), and back: what a report needs is in the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import __version__
from harness.model import (
    BuiltKernel,
    Checks,
    Comparison,
    Emulator,
    GuestImage,
    GuestRecord,
    Judgement,
    Kernel,
    Patch,
    PathResult,
    Run,
    Series,
    Step,
)
from harness.report import schema
from harness.report.schema import SCHEMA, RunFile

__all__ = ["SCHEMA", "document", "dump", "dump_all", "dump_steps", "of", "restore"]

Ktaps = Mapping[tuple[str, str, str], str]
"""(variant, setup, path) -> what the workload printed."""

_GONE = Path()
"""Stands for a file of the machine that the run was made on."""


def of(run: Run) -> RunFile:
    """The run as ``run.json`` has it."""
    judgement = run.judgement
    return RunFile(
        faultloop=__version__,
        job=run.job,
        started=run.started,
        seconds=round(run.seconds, 1),
        verdict=judgement.verdict if judgement else None,
        summary=run.summary,
        exit_status=run.status,
        mended=dict(run.mended),
        notes=(*run.notes, *(judgement.notes if judgement else ())),
        checks=schema.ChecksFile(warnings=run.checks.warnings, checkpatch=run.checks.checkpatch),
        command=run.command,
        patch=_series(run.series),
        kernel=schema.KernelFile(
            name=run.kernel.name,
            version=run.kernel.version,
            origin=run.kernel.origin,
            sha256=run.kernel.digest,
        ),
        base_why=run.base_why,
        builds=schema.Builds(base=_build(run.base), patched=_build(run.patched) if run.patched else None),
        emulator=schema.EmulatorFile(
            version=run.emulator.version, origin=run.emulator.origin, key=run.emulator.key
        ),
        guest=schema.GuestImageFile(key=run.guest.key, packages=run.guest.packages),
        setups={s.name: s for s in run.setups},
        workloads=run.workloads,
        paths=_rows(run),
        guests=tuple(_guest(r) for r in run.records),
    )


def document(run: Run) -> dict[str, Any]:
    """The run as plain data, JSON types only."""
    return schema.data(of(run))


def dump(run: Run) -> str:
    """``run.json`` as text."""
    return schema.dump(of(run))


def dump_steps(run: Run, steps: Sequence[Step]) -> str:
    """The document of a series' whole run, with ``steps``: what each of its patches is, in order."""
    told = tuple(
        schema.StepFile(
            number=step.number,
            subject=step.patch.subject,
            verdict=step.run.judgement.verdict if step.run and step.run.judgement else None,
            faults=step.faults,
            detail=step.detail,
        )
        for step in steps
    )
    return schema.dump(of(run).model_copy(update={"steps": told}))


def dump_all(runs: Sequence[Run]) -> str:
    """The documents of several runs, as one list."""
    return json.dumps([document(run) for run in runs], indent=1, ensure_ascii=True) + "\n"


def restore(file: RunFile, ktaps: Ktaps | None = None) -> Run:
    """The run that ``file`` tells of. Files of the machine it was made on are not in it, nor are diffs."""
    kernel = Kernel(file.kernel.name, file.kernel.version, file.kernel.origin, file.kernel.sha256, _GONE)
    series = _series_again(file.patch)
    pairs = tuple(
        Comparison(row.path, row.setup, base, patched, row.change)
        for row in file.paths
        if row.patched is not None and row.change is not None
        for base, patched in [(_again(row, "base", ktaps), _again(row, "patched", ktaps))]
    )
    return Run(
        job=file.job,
        started=file.started,
        seconds=file.seconds,
        kernel=kernel,
        series=series,
        base=_built_again(file.builds.base, kernel, Series()),
        patched=_built_again(file.builds.patched, kernel, series) if file.builds.patched else None,
        emulator=Emulator(_GONE, file.emulator.key, file.emulator.version, file.emulator.origin),
        guest=GuestImage(_GONE, _GONE, _GONE, "", file.guest.key, file.guest.packages),
        setups=tuple(file.setups.values()),
        workloads=file.workloads,
        records=_records(file, ktaps),
        judgement=Judgement(file.verdict, file.summary, pairs) if file.verdict else None,
        status=file.exit_status,
        summary=file.summary,
        notes=file.notes,
        base_why=file.base_why,
        command=file.command,
        checks=Checks(file.checks.warnings, file.checks.checkpatch),
        mended=file.mended,
    )


def _rows(run: Run) -> tuple[schema.Row, ...]:
    """What was judged; all that ran on the base, where nothing was."""
    controls: dict[tuple[str, str], dict[str, schema.Result]] = {}
    for record in run.records:
        if record.variant not in ("base", "patched"):
            for r in record.results:
                controls.setdefault((r.path, r.setup), {})[record.variant] = _result(r)
    if run.judgement is not None:
        return tuple(
            schema.Row(
                path=c.path,
                setup=c.setup,
                base=_result(c.base),
                patched=_result(c.patched),
                change=c.change,
                controls=controls.get((c.path, c.setup), {}),
            )
            for c in run.judgement.comparisons
        )
    return tuple(
        schema.Row(path=r.path, setup=r.setup, base=_result(r), controls=controls.get((r.path, r.setup), {}))
        for record in run.records
        if record.variant == "base"
        for r in record.results
    )


def _result(r: PathResult) -> schema.Result:
    return schema.Result(
        outcome=r.outcome,
        reason=r.reason,
        stalls=r.stalls,
        retries=r.retries,
        tlbi=r.tlbi,
        tlbi_wide=r.tlbi_wide,
        notifier_calls=r.notifier_calls,
        seconds=round(r.seconds, 3),
        facts=dict(r.facts),
        counters=dict(r.counters),
        splats=r.splats,
    )


def _guest(record: GuestRecord) -> schema.GuestFile:
    return schema.GuestFile(
        variant=record.variant,
        setup=record.setup,
        end=record.end,
        boot_seconds=round(record.boot_seconds, 2),
        seconds=round(record.seconds, 2),
        booted=record.booted,
        outcomes={r.path: r.outcome for r in record.results},
        boot_splats=record.boot_splats,
    )


def _series(series: Series) -> schema.SeriesFile | None:
    if not series.patches:
        return None
    patches = tuple(
        schema.PatchFile(
            subject=p.subject,
            author=p.author,
            message_id=p.message_id,
            source=p.source,
            base_hint=p.base_hint,
            files=p.files,
            sha256=hashlib.sha256(p.diff.encode()).hexdigest(),
        )
        for p in series.patches
    )
    return schema.SeriesFile(title=series.title, patches=patches)


def _build(built: BuiltKernel) -> schema.Build:
    return schema.Build(
        key=built.key,
        release=built.release,
        image_sha256=built.image_sha256,
        objects=built.objects,
        seconds=round(built.seconds, 1),
        warnings=built.warnings,
        sandbox="bubblewrap" if built.confined else "off",
    )


def _series_again(series: schema.SeriesFile | None) -> Series:
    if series is None:
        return Series()
    patches = tuple(
        Patch(p.subject, "", p.author, p.message_id, p.source, p.base_hint, p.files) for p in series.patches
    )
    return Series(patches, series.title)


def _built_again(build: schema.Build, kernel: Kernel, series: Series) -> BuiltKernel:
    return BuiltKernel(
        kernel=kernel,
        series=series,
        key=build.key,
        image=_GONE,
        modules=(),
        config=_GONE,
        log=_GONE,
        release=build.release,
        image_sha256=build.image_sha256,
        objects=build.objects,
        seconds=build.seconds,
        warnings=build.warnings,
        confined=build.sandbox != "off",
    )


def _records(file: RunFile, ktaps: Ktaps | None) -> tuple[GuestRecord, ...]:
    rows = {(row.path, row.setup): row for row in file.paths}
    records = []
    for guest in file.guests:
        results = tuple(
            _again(rows[path, guest.setup], guest.variant, ktaps)
            if (path, guest.setup) in rows and guest.variant in rows[path, guest.setup].results()
            # 1.0 has of a control no more than this.
            else PathResult(path, guest.setup, outcome)
            for path, outcome in guest.outcomes.items()
        )
        records.append(
            GuestRecord(
                variant=guest.variant,
                setup=guest.setup,
                results=results,
                end=guest.end,
                boot_splats=guest.boot_splats,
                boot_seconds=guest.boot_seconds,
                seconds=guest.seconds,
                booted=guest.booted,
            )
        )
    return tuple(records)


def _again(row: schema.Row, variant: str, ktaps: Ktaps | None) -> PathResult:
    found = row.results()[variant]
    ktap = (ktaps or {}).get((variant, row.setup, row.path), "")
    return PathResult(path=row.path, setup=row.setup, ktap=ktap, **dict(found))
