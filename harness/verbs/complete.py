# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shell offers behind an option: values with what they are. Nothing is offered where a file is not valid:
the command itself will say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

Offers = list[tuple[str, str]]


def kernels(incomplete: str) -> Offers:
    """Series of kernels.yaml; the shell adds files where none fits."""
    return _starting(incomplete, _kernels)


def some_kernels(incomplete: str) -> Offers:
    """The same, separated by commas."""
    return _next(incomplete, _kernels)


def setups(incomplete: str) -> Offers:
    """Setups and sets of setups.yaml, separated by commas."""
    return _next(incomplete, _setups)


def workloads(incomplete: str) -> Offers:
    """Paths, separated by commas."""
    return _next(incomplete, _workloads)


def patches(incomplete: str) -> Offers:
    """Names of our own patches."""
    return _starting(incomplete, _patches)


def runs(incomplete: str) -> Offers:
    """Folders of results, the newest first."""
    return _starting(incomplete, _runs)


def accelerators(incomplete: str) -> Offers:
    return _starting(incomplete, lambda: [("tcg", "on any host"), ("kvm", "on an arm64 host")])


def _starting(incomplete: str, offer: Callable[[], Iterable[tuple[str, str]]]) -> Offers:
    from harness.errors import FaultloopError

    with suppress(FaultloopError, OSError):
        return [(name, text) for name, text in offer() if name.startswith(incomplete)]
    return []


def _next(incomplete: str, offer: Callable[[], Iterable[tuple[str, str]]]) -> Offers:
    """Of a list with commas the last member; what is named already is not offered again."""
    before, comma, last = incomplete.rpartition(",")
    named = before.split(",")
    return [(before + comma + name, text) for name, text in _starting(last, offer) if name not in named]


def _kernels() -> Offers:
    from harness.layout import project
    from harness.sources import kernels as table

    rows = table.load(project().kernels).series
    return [(name, f"Debian {row.package or row.metapackage}") for name, row in rows.items()]


def _setups() -> Offers:
    from harness.layout import project
    from harness.sources import catalogue

    return catalogue.setup_names(project().setups)


def _workloads() -> Offers:
    from harness.layout import project
    from harness.sources import catalogue

    rows = catalogue.workloads(project().workloads)
    return [(row.path, row.what) for row in rows]


def _patches() -> Offers:
    from harness.layout import project

    return [(path.stem, "") for path in sorted(project().linux.glob("*.patch"))]


def _runs() -> Offers:
    from harness.layout import results_root

    folders = sorted((p for p in results_root().iterdir() if (p / "run.json").is_file()), reverse=True)
    return [(str(folder), "") for folder in folders]
