# SPDX-License-Identifier: GPL-2.0-or-later
"""A run's folder to look at in a browser: made up, of the size and with the outcomes of a real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.jobs.report import write
from harness.model import GuestRecord, Outcome, PathResult, Run, Setup, Splat, Workload
from harness.oracle import verdict
from harness.report import document, schema
from harness.timeline import Clock, Event, Kind, PathTimeline, Source, Timeline, View, dump
from tests.unit import runs

SETUPS = ("cortex-a57", "cortex-a76")
PAGE = 0x5A00800000
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "</script></style></title><svg onload=document.title='owned'>",
    "{{ 7*191 }}\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}evil\x07",
    "' onmouseover='document.title=1",
)
"""Names and words of somebody who wants the page to do something."""

POINTS = [
    "precondition: device page faults are served (scratch page: write was done, 1 stalls)",
    "precondition: the page is on its LRU list, in no CPU's batch",
    "data: device read 0x123456789abcdef, memory holds 0x123456789abcdef",
    "precondition: page table maps the page read-only (descriptor 0xe0000040a42fc3, level 3)",
    "precondition: IOTLB holds the page read-only right before the upgrade (r-,level=3,granule=4096)",
    "precondition: the page was reused, not copied (frame 0x40a42, then 0x40a42)",
    "precondition: the kernel ran one of do_wp_page ptep_set_access_flags",
]
KTAP = "".join(f"ok {n} {point}\n" for n, point in enumerate(POINTS + POINTS + POINTS[:3], 1))
FACTS = {f"hits_function_number_{n}": str(n) for n in range(4)} | {
    "audit_end": "entries=5,restrictive=1,permissive=0,wrong-page=0,unmapped=0,others=0",
    "audit_end_first": "restrictive,address=0x5a00800000,cached=0xe0000040a42fc3,walked=0xe8000040a42f43",
    "pte_before": "0xe0000040a42fc3",
    "pte_after": "0xe8000040a42f43",
    "iotlb_before": "r-,level=3,granule=4096",
    "iotlb_after": "rw,level=3,granule=4096",
    "window_us": "108699",
    "pfn_before": "0x40a42",
    "pfn_after": "0x40a42",
    "evictions": "0",
}
COUNTERS = {f"counter-of-the-smmu-{n}": 17 * n for n in range(14)}
FAMILIES = "AAABCDEF"


def result(path: str, setup: str, outcome: str, *, variant: str = "base", reason: str = "") -> PathResult:
    """What a workload of that outcome finds."""
    looped = outcome == "LOOP"
    title = f"WARNING: CPU: 0 PID: 1 at mm/memory.c:1 {HOSTILE[0]}"
    splat = Splat("warning", title, f"{title}\n at {HOSTILE[1]}\n\x1b[31mCall trace:\n  f+0x0", 4)
    return PathResult(
        path,
        setup,
        Outcome(outcome),
        reason=reason or ("progress: device write gave up after 50 stalls (bound 50)" if looped else ""),
        stalls=50 if looped else 1,
        retries=49 if looped else 1,
        tlbi=0 if variant == "base" else 1 + len(path) % 7,
        notifier_calls=0 if variant == "base" else 1,
        seconds=0.25,
        facts={**FACTS, "stalls": "50" if looped else "1"},
        counters=COUNTERS,
        ktap=KTAP,
        splats=(splat,) if outcome == "SPLAT" else (),
    )


def timeline(outcome: str, *, notified: bool) -> PathTimeline:
    """Stairs of a loop, the step of what is mended, or two events of the kernel."""
    events = []
    time = 0
    for _ in range(50 if outcome == "LOOP" else 1):
        time += 1_900_000
        for after, kind, source, text in (
            (0, Kind.STALL, Source.SMMU, "stall, f-permission"),
            (300_000, Kind.HANDLER, Source.GUEST, "the kernel serves the device's fault"),
            (420_000, Kind.FUNCTION, Source.GUEST, "ptep_set_access_flags()"),
            *(((450_000, Kind.NOTIFIER, Source.GUEST, "notifier"),) if notified else ()),
            *(((480_000, Kind.INVALIDATION, Source.SMMU, "CMD_TLBI_NH_VA"),) if notified else ()),
            (600_000, Kind.RETRY, Source.SMMU, "CMD_RESUME, retry"),
        ):
            events.append(Event(time + after, kind, source, text, PAGE, detail="stream=16 substream=1"))
    views = (
        View("before", "0xe0000040a42fc3", "read-only, dirty", "r-,level=3,granule=4096"),
        View("after", "0xe8000040a42f43", "writable, dirty", "rw,level=3,granule=4096"),
    )
    return PathTimeline(14_675_106_376, time + 2_000_000, PAGE, 4096, tuple(events), views=views)


def run(folder: Path, outcomes: Sequence[tuple[str, str, str]], *, patched: bool = True) -> Run:
    """A run of these (path, outcome on the base, on the patched kernel) on both setups."""
    made = runs.run(folder, ["LOOP"], ["PASS"] if patched else None)
    records = []
    for number, variant in enumerate(("base", "patched") if patched else ("base",), 1):
        for setup in SETUPS:
            results = tuple(result(row[0], setup, row[number], variant=variant) for row in outcomes)
            records.append(GuestRecord(variant, setup, results, "POWEROFF", boot_seconds=2.5, seconds=60.0))
    off = tuple(result(path, SETUPS[0], "PASS") for path, base, _ in outcomes if base == "LOOP")
    records.append(GuestRecord("base-iotlb-off", SETUPS[0], off, "POWEROFF"))
    base = [r for r in records if r.variant == "base"]
    after = [r for r in records if r.variant == "patched"]
    judgement = verdict.judge(base, after) if patched else None
    return replace(
        made,
        records=tuple(records),
        judgement=judgement,
        summary=judgement.reason if judgement else made.summary,
        setups=tuple(Setup(name, name) for name in SETUPS),
        workloads=tuple(
            Workload(
                path,
                FAMILIES[n % len(FAMILIES)],
                f"after fork with the child gone, the device reads page {n}, then writes it",
                ("wp_page_reuse", "do_wp_page"),
                expect={"6.1": Outcome.LOOP, "7.3": Outcome.PASS},
                why="the entry is raised with ptep_set_access_flags(), which tells CPUs only",
            )
            for n, (path, _, _) in enumerate(outcomes)
        ),
        mended={path: "upstream 6bbd42e2df8f (v6.6)" for path, base, _ in outcomes if base == "LOOP"},
    )


def keep(made: Run, folder: Path) -> Path:
    """Write ``made`` as a run's folder, with timelines, consoles and the output of workloads; gives the page."""
    file = document.of(made)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(schema.dump(file))
    for record in made.records:
        logs = folder / record.variant / record.setup / "boot-0"
        logs.mkdir(parents=True)
        lines = ["[    0.000000] Booting Linux", f"[    1.0] {HOSTILE[2]}"]
        for r in record.results:
            lines += [
                f"[    2.0] faultloop: begin {r.path}",
                *(s.title for s in r.splats),
                f"[    2.1] {HOSTILE[3]}",
            ]
            lines.append(f"[    2.2] faultloop: end {r.path}")
            if "/" not in r.path and len(r.path) < 40:
                (logs / f"{r.path}.ktap").write_text(r.ktap)
        (logs / "console.log").write_text("\n".join(lines) + "\n")
        paths = {
            r.path: timeline(str(r.outcome), notified=record.variant == "patched")
            for r in record.results
            if r.outcome is not Outcome.SKIP and record.variant in ("base", "patched")
        }
        clock = Clock(1_390_650_376, 8532, 88, "88 marks in ftrace")
        (logs / "timeline.json").write_bytes(dump(Timeline(clock=clock, paths=paths)))
    write(folder, file)
    return folder / "report.html"
