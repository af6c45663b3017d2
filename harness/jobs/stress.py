# SPDX-License-Identifier: GPL-2.0-or-later
"""``faultloop stress``: random operations on memory that a device uses, from a seed; what fails is shrunk.

An operation depends on the seed and its own number alone (guest-tests/workloads/stress.c), so that any others can
be left out: the guest is told by their numbers which ones to run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from harness import layout
from harness.errors import ExitStatus, GuestHung, GuestPanicked, GuestStopped, UserError
from harness.jobs.base import base_of
from harness.jobs.workshop import Workshop
from harness.model import Outcome, Series
from harness.oracle import ktap
from harness.shown import one_line
from harness.sources import catalogue
from harness.sources.patch_input import Given
from harness.temporary import temporary
from harness.vm.machine import Guest, GuestSpec

MAX_TRIES = 60
"""Runs that shrinking may take."""


@dataclass(frozen=True, slots=True)
class Found:
    """Result of a seed on one kernel and setup."""

    kernel: str
    setup: str
    seed: int
    operations: int
    outcome: Outcome
    reason: str
    kept: tuple[int, ...] = ()
    """Numbers of operations that are enough for it to fail; empty when it passed, or could not be run again."""
    described: tuple[str, ...] = ()
    """The same in words, by process."""


def stress(shop: Workshop, *, kernel: str, setup: str, seed: int, operations: int, accel: str) -> Found:
    """Boot one guest, run the seed, shrink what fails (in the same guest: a failure leaves it usable)."""
    if not 1 <= operations <= 1_000_000:
        raise UserError(f"{operations} operations: 1 to 1000000 are possible")
    chosen = catalogue.setups(layout.project().setups, setup, accel=accel)[0]
    base = base_of(Given(Series()), shop, asked=kernel, tree="").kernel
    emulator, image = shop.emulator, shop.guest_image
    built = shop.variant(base, setup=chosen)
    with (
        temporary("stress") as logs,
        Guest(GuestSpec.of(emulator, built, image, chosen), Path(logs)) as guest,
    ):

        def attempt(only: Sequence[int] | None) -> ktap.Judgement:
            words = f"{seed}:{operations}" + ("" if only is None else ":" + ",".join(map(str, only)))
            uncached = ["--uncached"] if chosen.iotlb == 0 else []
            done = guest.run(["/faultloop/workloads", *uncached, "--stress", words])
            return ktap.judge(ktap.parse(done.stdout.splitlines()))

        try:
            first = attempt(None)
            kept, last = _shrunk(attempt, first, operations)
        except (GuestPanicked, GuestHung, GuestStopped) as error:
            outcome = Outcome.HANG if isinstance(error, GuestHung) else Outcome.SPLAT
            return Found(base.version, chosen.name, seed, operations, outcome, error.message)
        guest.power_off()
    described = tuple(f"{key} {value}" for key, value in last.facts.items() if key.startswith("op_"))
    return Found(base.version, chosen.name, seed, operations, first.outcome, first.reason, kept, described)


def _shrunk(
    attempt: Callable[[Sequence[int]], ktap.Judgement], first: ktap.Judgement, operations: int
) -> tuple[tuple[int, ...], ktap.Judgement]:
    if not first.outcome.bad:
        return (), first
    failed = [int(value) for key, value in first.facts.items() if key.startswith("failed_")]
    last = first

    def fails(only: Sequence[int]) -> bool:
        nonlocal last
        got = attempt(only)
        if got.outcome is first.outcome:
            last = got
        return got.outcome is first.outcome

    kept = shrink(fails, range(min(max(failed, default=operations - 1) + 1, operations)))
    return (tuple(kept), last) if last is not first else ((), first)


def shrink(fails: Callable[[Sequence[int]], bool], numbers: Sequence[int], *, tries: int = MAX_TRIES) -> list[int]:
    """A part of ``numbers`` that still fails, as short as so many tries find it (delta debugging, ddmin).

    ``numbers`` itself is expected to fail, and is tried first: when it does not, it is returned as it is.
    """
    kept = list(numbers)
    left = tries - 1
    if not fails(kept):
        return kept
    pieces = 2
    while len(kept) > 1 and left > 0:
        size = -(-len(kept) // pieces)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            left -= 1
            if rest and fails(rest):
                kept, pieces = rest, max(pieces - 1, 2)
                break
            if left <= 0:
                return kept
        else:
            if pieces >= len(kept):
                return kept
            pieces = min(2 * pieces, len(kept))
    return kept


def status(found: Found) -> ExitStatus:
    """0 clean, 1 the kernel did wrong, 3 undecided."""
    if found.outcome is Outcome.PASS:
        return ExitStatus.FIXES
    return ExitStatus.NOT_FIXED if found.outcome.bad else ExitStatus.UNDECIDED


def show(found: Found, stream: TextIO, *, as_json: bool) -> None:
    """Print the result, and how to have it again."""
    if as_json:
        stream.write(json.dumps(asdict(found), indent=1) + "\n")
        return
    stream.write(f"kernel   {found.kernel}\nsetup    {found.setup}\n")
    if found.kept:
        stream.write(f"shrunk   {len(found.kept)} operations are enough: {','.join(map(str, found.kept))}\n")
        stream.writelines(f"         {one_line(line)}\n" for line in found.described)
    reason = f": {one_line(found.reason)}" if found.reason else ""
    stream.write(f"again    faultloop stress --seed {found.seed} --operations {found.operations}\n")
    stream.write(f"RESULT   {found.outcome}{reason}\n")
