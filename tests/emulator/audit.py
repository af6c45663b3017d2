# SPDX-License-Identifier: GPL-2.0-or-later
"""What the IOTLB audit reports: the QOM property ``audit`` of the SMMU."""

from __future__ import annotations

from dataclasses import dataclass

from .qtest import Machine


@dataclass(frozen=True, slots=True)
class Side:
    """What the IOTLB, or a walk, says of an address."""

    read: bool
    write: bool
    level: int
    descriptor: int
    address: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A cached entry, or a part of it, and what the tables say now."""

    kind: str
    stream: int
    address: int
    size: int
    granule: int
    walk: str
    cached: Side
    walked: Side
    substream: int | None = None
    asid: int | None = None
    """None: global."""
    vmid: int | None = None

    @property
    def short(self) -> tuple[str, int, int]:
        return self.kind, self.address, self.size


def audit(machine: Machine) -> list[Difference]:
    """All differences, in the order in which the entries were cached."""
    found = machine.qmp("qom-get", path="/machine/smmuv3", property="audit")
    return [
        Difference(**{**item, "cached": Side(**item["cached"]), "walked": Side(**item["walked"])})
        for item in found
    ]
