# SPDX-License-Identifier: GPL-2.0-or-later
"""The places at which tests make a fault happen are there: those tests take too long to be run at each change."""

from __future__ import annotations

import re

import pytest

from tests.vm import at
from tests.vm.command import ROOT

_PLACE = re.compile(r"\bharness(?:\.\w+)+:[A-Za-z_.]+")


def places() -> list[str]:
    """Every ``module:function`` in the tests with guests."""
    files = (ROOT / "tests" / "vm").glob("*.py")
    return sorted({found for file in files for found in _PLACE.findall(file.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("where", places())
def test_a_place_is_there(where: str) -> None:
    _, _, function = at.find(where)
    assert callable(function)


def test_they_are_found() -> None:
    assert {"harness.jobs.report:write", "harness.vm.machine:Guest._watch"} < set(places())
