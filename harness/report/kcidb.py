# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as a submission to KCIDB, the kernel community's database of test results.

FAIL is said of a kernel only. Where the harness or the host is at fault, a test has no result: MISS; where a
path's precondition did not hold, the test itself has failed: ERROR. Controls and kernels that were broken on
purpose are not submitted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from harness.errors import InfrastructureError
from harness.model import Outcome, PathResult
from harness.past import KeptGuest, KeptRun, Stage
from harness.shown import one_line, printable

ORIGIN = "faultloop"
STATUS = {
    Outcome.PASS: "PASS",
    Outcome.SKIP: "SKIP",
    Outcome.INVALID: "ERROR",
    Outcome.ERROR: "MISS",
    **{o: "FAIL" for o in Outcome if o.bad},
}
_BUILD = {Stage.BUILD: "FAIL", Stage.HARNESS: "MISS"}
_SUBMITTED = ("base", "patched")
_EXCERPT = 16384
_GIT = re.compile(r"git ([0-9a-f]{40})(?: \((\S+)\))?$")


@dataclass(frozen=True, slots=True)
class Tree:
    """Where a night's commit came from."""

    name: str = ""
    """``linux-next``."""
    url: str = ""
    branch: str = ""
    ref: str = ""
    """The tag that was taken."""


def document(kept: KeptRun, tree: Tree | None = None, *, origin: str = ORIGIN) -> dict[str, Any]:
    """The submission, JSON types only; InfrastructureError when kcidb-io refuses it."""
    from kcidb_io.schema import LATEST

    maker = _Maker(kept, tree or Tree(), origin)
    for guest in kept.guests:
        if guest.variant in _SUBMITTED:
            maker.add(guest)
    made = {
        "version": {"major": LATEST.major, "minor": LATEST.minor},
        "checkouts": list(maker.checkouts.values()),
        "builds": list(maker.builds.values()),
        "tests": maker.tests,
    }
    if not LATEST.is_valid(made):
        raise InfrastructureError("the KCIDB submission is not valid: nothing was written")
    return made


def dump(kept: KeptRun, tree: Tree | None = None, *, origin: str = ORIGIN) -> str:
    """The same as text."""
    return json.dumps(document(kept, tree, origin=origin), indent=1, ensure_ascii=True) + "\n"


class _Maker:
    """Collects the three tables of one submission."""

    def __init__(self, kept: KeptRun, tree: Tree, origin: str) -> None:
        self._kept = kept
        self._tree = tree
        self._origin = origin
        self.checkouts: dict[str, dict[str, Any]] = {}
        self.builds: dict[str, dict[str, Any]] = {}
        self.tests: list[dict[str, Any]] = []

    def add(self, guest: KeptGuest) -> None:
        build = self._build(guest, self._checkout(guest))
        if guest.stage is Stage.BUILD or (guest.stage is Stage.HARNESS and not guest.image_sha256):
            return
        self._boot(guest, build)
        if guest.record is not None and guest.stage is not Stage.BOOT:
            for result in guest.record.results:
                self._path(guest, build, result)

    def _checkout(self, guest: KeptGuest) -> str:
        patches = self._kept.patches if guest.variant == "patched" else ""
        key = f"{self._origin}:{guest.kernel.digest}{f'-{patches}' if patches else ''}"
        made: dict[str, Any] = {
            "id": key,
            "origin": self._origin,
            "patchset_hash": patches,
            "start_time": self._kept.started,
            "valid": True,
            "comment": one_line(self._kept.title if patches else f"Linux {guest.kernel.version}"),
            "misc": {"origin": one_line(guest.kernel.origin), "version": one_line(guest.kernel.version)},
        }
        found = _GIT.match(guest.kernel.origin)
        if found:
            made["git_commit_hash"] = found.group(1)
            made |= {"git_commit_name": found.group(2)} if found.group(2) else {}
        told = {
            "tree_name": self._tree.name,
            "git_repository_url": self._tree.url if self._tree.url.startswith("https://") else "",
            "git_repository_branch": self._tree.branch,
            "git_commit_name": self._tree.ref,
        }
        self.checkouts[key] = made | {name: one_line(text) for name, text in told.items() if text}
        return key

    def _build(self, guest: KeptGuest, checkout: str) -> str:
        image = guest.image_sha256 or f"none-{guest.setup}"
        key = f"{checkout}-{image}"
        made = {
            "id": key,
            "checkout_id": checkout,
            "origin": self._origin,
            "architecture": "arm64",
            "config_name": "faultloop",
            "status": "PASS" if guest.image_sha256 else _BUILD.get(guest.stage, "PASS"),
            "misc": {"image_sha256": guest.image_sha256},
        }
        if made["status"] != "PASS":
            made["log_excerpt"] = printable(guest.error)[:_EXCERPT]
        self.builds[key] = made
        return key

    def _boot(self, guest: KeptGuest, build: str) -> None:
        record = guest.record
        splats = record.boot_splats if record else ()
        if guest.stage is Stage.BOOT or splats:
            status = "MISS" if record and record.end == "QEMU-DIED" else "FAIL"
        else:
            status = "PASS" if record else "MISS"
        text = "\n\n".join(s.text for s in splats)
        comment = guest.error or "; ".join(s.title for s in splats)
        seconds = record.boot_seconds if record else 0.0
        self._test(guest, build, "boot", status, comment, seconds, text)

    def _path(self, guest: KeptGuest, build: str, result: PathResult) -> None:
        text = "\n\n".join(s.text for s in result.splats)
        comment = f"{result.outcome}: {result.reason}" if result.reason else str(result.outcome)
        counts = {
            "outcome": str(result.outcome),
            "stalls": result.stalls,
            "tlbi": result.tlbi,
            "notifier_calls": result.notifier_calls,
        }
        self._test(guest, build, result.path, STATUS[result.outcome], comment, result.seconds, text, counts)

    def _test(
        self,
        guest: KeptGuest,
        build: str,
        path: str,
        status: str,
        comment: str,
        seconds: float,
        text: str,
        counts: dict[str, object] | None = None,
    ) -> None:
        names = (self._kept.name, guest.kernel.digest[:12], guest.variant, guest.setup, path)
        made: dict[str, Any] = {
            "id": f"{self._origin}:{'-'.join(names)}",
            "build_id": build,
            "origin": self._origin,
            "path": f"faultloop.{path}",
            "status": status,
            "start_time": self._kept.started,
            "duration": round(seconds, 3),
            "environment": {"comment": f"QEMU arm64, SMMUv3 without BTM, {guest.setup}"},
            "misc": {"setup": guest.setup, "variant": guest.variant, **(counts or {})},
        }
        made |= {"comment": one_line(comment)} if comment else {}
        made |= {"log_excerpt": printable(text)[:_EXCERPT]} if text else {}
        self.tests.append(made)
