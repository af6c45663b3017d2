# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of paths and the program that drives them name the same things."""

from __future__ import annotations

import re

from harness import layout
from harness.sources import catalogue

WORKLOADS = layout.project().guest_tests / "workloads"

PROMISED = {
    *("first-touch", "zero-page-cow", "anon-reuse", "anon-reuse-cpu-first", "shmem-clean", "file-mkwrite"),
    *("madv-free", "madv-free-cpu-first", "hugetlb-reuse", "thp-reuse", "mprotect-upgrade", "munmap"),
    *("mprotect-readonly", "fork-child-alive", "unmapped"),
}


def rows() -> dict[str, tuple[str, ...]]:
    return {w.path: w.functions for w in catalogue.workloads(WORKLOADS / "catalogue.yaml")}


def source(name: str) -> str:
    return (WORKLOADS / name).read_text(encoding="utf-8")


def test_all_paths_are_there() -> None:
    assert set(rows()) >= PROMISED


def guest_paths() -> list[tuple[str, str]]:
    """Names and functions of the program, its forms spelled out as it does."""
    forms = {
        "ONE": [""],
        "CACHED": ["", "-uncached"],
        "ALL": ["", "-cpu-first", "-uncached", "-cpu-first-uncached"],
    }
    table = re.findall(r'^\t\{ "([a-z0-9-]+)", (\w+), (ONE|CACHED|ALL) \},$', source("table.c"), re.M)
    return [(name + suffix, function) for name, function, bits in table for suffix in forms[bits]]


def test_every_row_has_a_program_and_every_program_a_row() -> None:
    assert [name for name, _ in guest_paths()] == list(rows())
    declared = re.findall(r"^void (\w+)\(void\);$", source("paths.h"), re.M)
    assert sorted(declared) == sorted({function for _, function in guest_paths()})


def test_every_row_expects_something_of_each_kernel() -> None:
    for row in catalogue.workloads(WORKLOADS / "catalogue.yaml"):
        assert set(row.expect) == {"6.1", "6.12", "7.3"}, row.path
        assert row.why, row.path
        if row.control:
            assert not any(outcome.bad for outcome in row.expect.values()), row.path


def test_every_function_of_a_row_is_probed() -> None:
    probes = set(re.findall(r'\.name = "(\w+)"', source("probes.h")))
    for path, functions in rows().items():
        assert set(functions) <= probes, path


def test_probes_that_nobody_asks_for_are_not_set() -> None:
    probes = set(re.findall(r'\.name = "(\w+)"', source("probes.h"))) - {
        "notifier",
        "fault_handler",
        "folio_mkclean",
    }
    assert probes == {function for functions in rows().values() for function in functions}
