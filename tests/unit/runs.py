# SPDX-License-Identifier: GPL-2.0-or-later
"""Made-up runs for tests of the reports."""

from __future__ import annotations

from pathlib import Path

from harness.model import (
    BuiltKernel,
    Emulator,
    GuestImage,
    GuestRecord,
    Kernel,
    Outcome,
    Patch,
    PathResult,
    Run,
    Series,
    Setup,
    Splat,
    Workload,
)
from harness.oracle import verdict

HOSTILE = "\x1b[2J<script>alert(1)</script>\x07 # not ok"

KERNEL = Kernel("6.1", "6.1.192", "Debian linux-source-6.1 6.1.192-2", "ab" * 32, Path("/src"))
SERIES = Series((Patch(HOSTILE, "--- a/x\n+++ b/x\n", files=("x",)),), title=HOSTILE)


def result(path: str, outcome: str, *, splats: tuple[Splat, ...] = (), reason: str = "") -> PathResult:
    """A result with facts."""
    return PathResult(
        path,
        "cortex-a57",
        Outcome(outcome),
        reason=reason or f"{outcome}: {HOSTILE}",
        stalls=50 if outcome == "LOOP" else 1,
        tlbi=3,
        notifier_calls=2,
        facts={"stalls": "1", "pte_before": "0x60000041abcf53"},
        counters={"stalls": 1},
        ktap="KTAP version 1\n1..2\nok 1 precondition: it holds\nok 2 progress: done\n# stalls 0\n",
        splats=splats,
    )


def built(series: Series, folder: Path) -> BuiltKernel:
    """A variant whose files exist."""
    for name in ("config", "build.log"):
        (folder / name).write_text(f"{name}\n")
    return BuiltKernel(
        kernel=KERNEL,
        series=series,
        key="k",
        image=folder / "Image",
        modules=(),
        config=folder / "config",
        log=folder / "build.log",
        release="6.1.192",
        image_sha256="cd" * 32,
        objects=36,
        seconds=44.0,
    )


def run(folder: Path, base: list[str], patched: list[str] | None = None) -> Run:
    """A run of paths a, b, ... with these outcomes."""
    names = [*"abcdefgh", *(f"p{number}" for number in range(100))]
    splat = Splat("warning", "WARNING: " + HOSTILE, "trace\x1b[31m\n" + HOSTILE, 7)
    base_record = GuestRecord(
        "base", "cortex-a57", tuple(result(n, o) for n, o in zip(names, base, strict=False)), "POWEROFF"
    )
    records = [base_record]
    judgement = None
    if patched is not None:
        after = tuple(
            result(n, o, splats=(splat,) if o == "SPLAT" else ()) for n, o in zip(names, patched, strict=False)
        )
        records.append(GuestRecord("patched", "cortex-a57", after, "POWEROFF"))
        judgement = verdict.judge(records[:1], records[1:])
    series = SERIES if patched is not None else Series()
    return Run(
        job="test-patch" if patched is not None else "run",
        started="2026-01-01T00:00:00+00:00",
        seconds=12.3,
        kernel=KERNEL,
        series=series,
        base=built(Series(), folder),
        patched=built(series, folder) if patched is not None else None,
        emulator=Emulator(Path("/q"), "e", "QEMU emulator version 10.0.13", "Debian qemu"),
        guest=GuestImage(Path("/i"), Path("/d"), Path("/k"), "ssh-ed25519 AAAA", "g", ("busybox-static 1",)),
        setups=(Setup("cortex-a57", "cortex-a57"),),
        workloads=tuple(Workload(n, "A", "what") for n in names[: len(base)]),
        records=tuple(records),
        judgement=judgement,
        status=int(verdict.STATUS[judgement.verdict]) if judgement else 1,
        summary=judgement.reason if judgement else "affected: a LOOP",
        command=("test-patch", "{here}/series.patch", "--base", "it's $(rm -rf /) 6.1", "--fresh"),
    )
