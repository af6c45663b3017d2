# SPDX-License-Identifier: GPL-2.0-or-later
"""``run.json``: everything about a run, for programs. The layout is named by ``schema``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness import __version__
from harness.model import BuiltKernel, Comparison, GuestRecord, Kernel, PathResult, Run, Series, Splat, Step

SCHEMA = "faultloop/run/1"


def document(run: Run) -> dict[str, Any]:
    """The run as plain data, JSON types only."""
    judgement = run.judgement
    return {
        "schema": SCHEMA,
        "faultloop": __version__,
        "job": run.job,
        "started": run.started,
        "seconds": round(run.seconds, 1),
        "verdict": str(judgement.verdict) if judgement else None,
        "summary": run.summary,
        "exit_status": run.status,
        "mended": dict(run.mended),
        "notes": [*run.notes, *(judgement.notes if judgement else ())],
        "checks": {"warnings": list(run.checks.warnings), "checkpatch": list(run.checks.checkpatch)},
        "command": list(run.command),
        "patch": _series(run.series),
        "kernel": _kernel(run.kernel),
        "base_why": run.base_why,
        "builds": {"base": _build(run.base), **({"patched": _build(run.patched)} if run.patched else {})},
        "emulator": {"version": run.emulator.version, "origin": run.emulator.origin, "key": run.emulator.key},
        "guest": {"key": run.guest.key, "packages": list(run.guest.packages)},
        "setups": {s.name: asdict(s) for s in run.setups},
        "paths": [_comparison(c) for c in judgement.comparisons] if judgement else _single(run),
        "guests": [_guest(r) for r in run.records],
    }


def dump(run: Run) -> str:
    """``document()`` as text."""
    return json.dumps(document(run), indent=1, ensure_ascii=True) + "\n"


def dump_steps(run: Run, steps: Sequence[Step]) -> str:
    """The document of a series' whole run, with ``steps``: what each of its patches is, in order."""
    told = [
        {
            "number": step.number,
            "subject": step.patch.subject,
            "verdict": str(step.run.judgement.verdict) if step.run and step.run.judgement else None,
            "faults": list(step.faults),
            "detail": step.detail,
        }
        for step in steps
    ]
    return json.dumps({**document(run), "steps": told}, indent=1, ensure_ascii=True) + "\n"


def dump_all(runs: Sequence[Run]) -> str:
    """The documents of several runs, as one list."""
    return json.dumps([document(run) for run in runs], indent=1, ensure_ascii=True) + "\n"


def _single(run: Run) -> list[dict[str, Any]]:
    return [
        {"path": r.path, "setup": r.setup, "base": _result(r)}
        for record in run.records
        if record.variant == "base"
        for r in record.results
    ]


def _comparison(c: Comparison) -> dict[str, Any]:
    return {
        "path": c.path,
        "setup": c.setup,
        "base": _result(c.base),
        "patched": _result(c.patched),
        "change": str(c.change),
    }


def _result(r: PathResult) -> dict[str, Any]:
    return {
        "outcome": str(r.outcome),
        "reason": r.reason,
        "stalls": r.stalls,
        "retries": r.retries,
        "tlbi": r.tlbi,
        "tlbi_wide": r.tlbi_wide,
        "notifier_calls": r.notifier_calls,
        "seconds": round(r.seconds, 3),
        "facts": dict(r.facts),
        "counters": dict(r.counters),
        "splats": [_splat(s) for s in r.splats],
    }


def _guest(record: GuestRecord) -> dict[str, Any]:
    return {
        "variant": record.variant,
        "setup": record.setup,
        "end": record.end,
        "boot_seconds": round(record.boot_seconds, 2),
        "seconds": round(record.seconds, 2),
        "outcomes": {r.path: str(r.outcome) for r in record.results},
        "boot_splats": [_splat(s) for s in record.boot_splats],
    }


def _splat(s: Splat) -> dict[str, Any]:
    return {"kind": s.kind, "title": s.title, "line": s.line, "text": s.text}


def _series(series: Series) -> dict[str, Any] | None:
    if not series.patches:
        return None
    return {
        "title": series.title,
        "patches": [
            {
                "subject": p.subject,
                "author": p.author,
                "message_id": p.message_id,
                "source": p.source,
                "base_hint": p.base_hint,
                "files": list(p.files),
                "sha256": hashlib.sha256(p.diff.encode()).hexdigest(),
            }
            for p in series.patches
        ],
    }


def _kernel(kernel: Kernel) -> Mapping[str, str]:
    return {
        "name": kernel.name,
        "version": kernel.version,
        "origin": kernel.origin,
        "sha256": kernel.digest,
    }


def _build(built: BuiltKernel) -> dict[str, Any]:
    return {
        "key": built.key,
        "release": built.release,
        "image_sha256": built.image_sha256,
        "objects": built.objects,
        "seconds": round(built.seconds, 1),
        "warnings": list(built.warnings),
        "sandbox": "bubblewrap" if built.confined else "off",
    }
