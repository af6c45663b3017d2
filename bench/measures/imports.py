# SPDX-License-Identifier: GPL-2.0-or-later
"""Import time of the command line: ``faultloop --help``, against the same interpreter that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.bench import Bench, python, timed
from bench.frame import Kind, Measure, Pair, Row


@contextmanager
def _prepare(bench: Bench) -> Iterator[Pair]:
    command = [str(bench.project.root / "faultloop"), "--help"]
    timed(command)  # byte code and the disk's cache are warm for both
    yield Pair(
        ours=lambda: {"": timed(command).seconds},
        bare=lambda: {"": timed([python(), "-P", "-c", "pass"]).seconds},
    )


MEASURES = (Measure("import", (Row("", "`faultloop --help`", reach=0.2, kind=Kind.VALUE),), _prepare, rounds=11),)
