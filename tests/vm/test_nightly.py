# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights over planted tags of Linux 7.3, the second of which regresses: from the tag to the commit, and mended."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kcidb_io
import pytest

from harness.jobs.workshop import Workshop
from tests.vm import planted
from tests.vm.command import Called, faultloop
from tests.vm.planted import Planted, Tree

SVA = "drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c"
BIND = "drivers/iommu/iommu-sva.c"
MINCORE = "mm/mincore.c"
_SIZE = "\tsize = end - start;\n\n"
_DEAF = f"{_SIZE}\tif (size)\n\t\treturn;\n"
_EXPORT = "EXPORT_SYMBOL_GPL(iommu_sva_bind_device);\n"
_HEAD = "// SPDX-License-Identifier: GPL-2.0\n"
_PANIC = '\nstatic int __init planted(void)\n{\n\tpanic("planted");\n}\ncore_initcall(planted);\n'
PATHS = "anon-reuse,shmem-clean"


def _word(number: int) -> Planted:
    return Planted(f"word-{number}", f"mm/mincore: word {number}", ((MINCORE, "", f"\n/* word {number} */\n"),))


HISTORY = (
    _word(1),
    Planted("first", "README: a night", (("README", "", "\none\n"),)),
    _word(2),
    Planted("break", "iommu/arm-smmu-v3: spare the SMMU a command", ((SVA, _SIZE, _DEAF),)),
    _word(3),
    Planted("second", "README: another night", (("README", "", "\ntwo\n"),)),
    Planted("mend", "iommu/arm-smmu-v3: do not spare it", ((SVA, _DEAF, _SIZE),)),
    Planted("third", "README: a third night", (("README", "", "\nthree\n"),)),
    Planted("drift", "iommu: nobody out of tree binds", ((BIND, _EXPORT, ""),)),
    Planted("no-build", "mm/mincore: faster", ((MINCORE, _HEAD, f"{_HEAD}#error planted\n"), (BIND, "", _EXPORT))),
    Planted("panic", "mm/mincore: check", ((MINCORE, "#error planted\n", ""), (MINCORE, "", _PANIC))),
)


@dataclass
class Nights:
    """A tree, and one night of it after another."""

    tree: Tree
    results: Path

    def tag(self, name: str, commit: str) -> None:
        planted.git(self.tree.path, "tag", name, self.tree.commits[commit])

    def night(self, *words: str) -> Called:
        chosen = ["--setup", "cortex-a57", "--workloads", PATHS, "--json", *words]
        return faultloop("nightly", "--tree", self.tree.path, *chosen, results=self.results)


@pytest.fixture(scope="module")
def nights(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    folder = tmp_path_factory.mktemp("nights")
    tree = planted.plant(shop, folder / "tree", HISTORY, series="newest", fix=None)
    return Nights(tree, folder / "results")


def kinds(found: dict[str, Any], kind: str) -> set[str]:
    return {f["path"] for f in found["findings"] if f["kind"] == kind}


@pytest.mark.long
def test_three_nights_the_second_regressing(nights: Nights) -> None:
    nights.tag("next-20260101", "first")
    first = nights.night()
    assert first.status == 0, first.stderr
    night = first.run
    assert (night["ref"], night["version"][:4], night["compared"]) == ("next-20260101", "7.3.", 0)
    assert kinds(night, "good") >= {"anon-reuse", "shmem-clean", "(build)", "(driver)", "(boot)", "(log)"}
    assert night["teeth"]["patch"] == "7.3-remove-notification"
    assert len(night["teeth"]["held"]) == 2 and not night["faults"]
    assert not night["drifted"]

    assert nights.night().run["already"]

    nights.tag("next-20260102", "second")
    called = nights.night()
    assert called.status == 1, called.stderr
    night = called.run
    assert kinds(night, "new") == {"anon-reuse", "shmem-clean"}
    found = [f for f in night["findings"] if f["kind"] == "new"]
    assert {f["first_bad"] for f in found} == {nights.tree.commits["break"]}
    assert {(f["was"], f["since"]) for f in found} == {("PASS", "next-20260101")}
    folder = Path(night["folder"])
    mail = (folder / "night.txt").read_text()
    assert mail.startswith("faultloop: next-20260102: 2 new\n\nnew failures: anon-reuse, shmem-clean\n")
    assert "spare the SMMU a command" in " ".join(mail.split())
    sent = json.loads((folder / "kcidb.json").read_text())
    kcidb_io.schema.LATEST.validate(sent)
    status = {t["path"]: t["status"] for t in sent["tests"]}
    assert status == {"faultloop.boot": "PASS", "faultloop.anon-reuse": "FAIL", "faultloop.shmem-clean": "FAIL"}
    assert sent["checkouts"][0]["git_commit_hash"] == nights.tree.commits["second"]

    nights.tag("next-20260103", "third")
    third = nights.night("--keep", "1")
    assert third.status == 0, third.stderr
    assert kinds(third.run, "mended") == {"anon-reuse", "shmem-clean"}
    assert len(third.run["removed"]) == 2 and not folder.exists()

    seen = faultloop("history", "anon-reuse", results=nights.results)
    assert re.search(r"^course +P[TL]P  cortex-a57$", seen.stdout, re.MULTILINE), seen.stdout
    assert "next-20260102" in seen.stdout


@pytest.mark.long
def test_whose_fault_it_is_that_nothing_ran(nights: Nights) -> None:
    """After the nights above: a driver that does not build, a kernel that does not, and one that does not boot."""
    nights.tag("next-20260104", "drift")
    drift = nights.night()
    assert drift.status == 4, drift.stderr
    assert "an interface of the kernel has moved" in drift.run["summary"]
    assert kinds(drift.run, "not run") == {"(driver)", "anon-reuse", "shmem-clean"}
    assert not kinds(drift.run, "new")

    nights.tag("next-20260105", "no-build")
    broken = nights.night()
    assert broken.status == 1
    assert broken.run["summary"] == "new failures: the kernel does not build"
    assert "planted" in next(f["reason"] for f in broken.run["findings"] if f["path"] == "(build)")

    nights.tag("next-20260106", "panic")
    panics = nights.night()
    assert panics.status == 1
    assert panics.run["summary"] == "new failures: the kernel does not boot"
    assert kinds(panics.run, "mended") == {"(build)"}
    builds = json.loads((Path(broken.run["folder"]) / "kcidb.json").read_text())["builds"]
    assert [b["status"] for b in builds] == ["FAIL"]
