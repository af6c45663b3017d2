# SPDX-License-Identifier: GPL-2.0-or-later
"""Read ``guest-tests/workloads/coverage.yaml``: which functions need not or cannot be covered, and why."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness.coverage import Reason
from harness.errors import UserError
from harness.sources import datafile


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Row(_Strict):
    functions: tuple[str, ...] = Field(min_length=1)
    why: str = Field(min_length=1)
    series: tuple[str, ...] = Field(min_length=1)


class _Reasons(_Strict):
    reasons: tuple[_Row, ...]


def load(path: Path, series: str) -> tuple[Reason, ...]:
    """The reasons for kernels of ``series`` (``6.1``); UserError when one of them names a function twice."""
    found = [Reason(**row.model_dump()) for row in datafile.load(path, _Reasons).reasons if series in row.series]
    names = [name for reason in found for name in reason.functions]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: {name}: two reasons for series {series}")
    return tuple(found)
