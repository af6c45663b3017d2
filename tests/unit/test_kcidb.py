# SPDX-License-Identifier: GPL-2.0-or-later
"""Submissions to KCIDB: valid by kcidb-io's own schema, and FAIL said of kernels only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import kcidb_io
import pytest

from harness.errors import InfrastructureError
from harness.jobs import history as job
from harness.model import IOTLB_OFF, GuestRecord, Outcome, Splat
from harness.past import KeptGuest, KeptRun, Stage
from harness.report import kcidb
from tests.unit import runs

OUTCOMES = [str(outcome) for outcome in Outcome]
COMMIT = "12" * 20


def kept(folder: Path, patched: bool = True) -> KeptRun:
    run = runs.run(folder, OUTCOMES, OUTCOMES if patched else None)
    return job.of_run(run, Path("/results/one"))


def only(run: KeptRun, guest: KeptGuest) -> dict[str, Any]:
    return kcidb.document(replace(run, guests=(guest,)))


def test_it_is_valid_and_each_outcome_has_its_status(tmp_path: Path) -> None:
    made = json.loads(kcidb.dump(kept(tmp_path)))
    kcidb_io.schema.LATEST.validate(made)
    base = {t["path"]: t["status"] for t in made["tests"] if t["misc"]["variant"] == "base"}
    want = dict(zip("abcdefghi", OUTCOMES, strict=False))
    told = {name: base[f"faultloop.{name}"] for name in want if f"faultloop.{name}" in base}
    assert {want[name]: status for name, status in told.items()} == {
        "PASS": "PASS",
        "LOOP": "FAIL",
        "STALE": "FAIL",
        "CORRUPT": "FAIL",
        "SPLAT": "FAIL",
        "HANG": "FAIL",
        "SKIP": "SKIP",
        "INVALID": "ERROR",
    }
    assert base["faultloop.p0"] == "MISS"  # ERROR
    assert base["faultloop.boot"] == "PASS"
    assert len(made["checkouts"]) == 2
    assert len({t["id"] for t in made["tests"]}) == len(made["tests"])
    assert {c["patchset_hash"] == "" for c in made["checkouts"]} == {True, False}
    assert "\x1b" not in json.dumps(made, ensure_ascii=False)


def test_what_kcidb_refuses_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = replace(kept(tmp_path), started="yesterday at noon")
    with pytest.raises(InfrastructureError, match="not valid"):
        kcidb.dump(wrong, origin="No Such Origin")
    (folder := tmp_path / "run").mkdir()
    job.write_kcidb(replace(wrong, name="\0"), folder)
    assert not (folder / "kcidb.json").exists()
    assert "not valid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage", "image", "build", "boot"),
    [
        (Stage.BUILD, "", "FAIL", []),
        (Stage.HARNESS, "", "MISS", []),
        (Stage.HARNESS, "cd", "PASS", ["MISS"]),
        (Stage.DRIVER, "", "PASS", ["MISS"]),
        (Stage.BOOT, "cd", "PASS", ["FAIL"]),
    ],
)
def test_a_kernel_that_did_not_run(tmp_path: Path, stage: Stage, image: str, build: str, boot: list[str]) -> None:
    record = GuestRecord("base", "cortex-a57", (runs.result("a", "ERROR"),), "PANIC", booted=False)
    guest = KeptGuest(
        runs.KERNEL, "base", "cortex-a57", image, record if stage is Stage.BOOT else None, stage, "why"
    )
    made = only(kept(tmp_path), guest)
    assert [b["status"] for b in made["builds"]] == [build]
    assert [t["status"] for t in made["tests"]] == boot


def test_a_qemu_that_died_and_a_kernel_that_complains(tmp_path: Path) -> None:
    splat = Splat("warning", "WARNING: x", "trace", 1)
    record = GuestRecord("base", "cortex-a57", (), "POWEROFF", boot_splats=(splat,))
    guest = KeptGuest(runs.KERNEL, "base", "cortex-a57", "cd", record)
    assert [t["status"] for t in only(kept(tmp_path), guest)["tests"]] == ["FAIL"]
    died = replace(guest, record=replace(record, end="QEMU-DIED", booted=False), stage=Stage.BOOT)
    assert [t["status"] for t in only(kept(tmp_path), died)["tests"]] == ["MISS"]


def test_controls_are_not_submitted(tmp_path: Path) -> None:
    run = kept(tmp_path, patched=False)
    guests = (*run.guests, *(replace(g, variant=name) for g in run.guests for name in (IOTLB_OFF, "teeth")))
    assert len(kcidb.document(replace(run, guests=guests))["tests"]) == len(OUTCOMES) + 1


def test_a_commit_is_named_unless_the_tree_has_changes(tmp_path: Path) -> None:
    run = kept(tmp_path, patched=False)
    tree = kcidb.Tree("linux-next", "https://example.org/next.git", "master")

    def checkout(origin: str) -> dict[str, Any]:
        guest = replace(run.guests[0], kernel=replace(runs.KERNEL, origin=origin))
        made = kcidb.document(replace(run, guests=(guest,)), tree)
        found: dict[str, Any] = made["checkouts"][0]
        return found

    found = checkout(f"git {COMMIT} (next-20260101)")
    assert (found["git_commit_hash"], found["git_commit_name"]) == (COMMIT, "next-20260101")
    assert (found["tree_name"], found["git_repository_url"]) == ("linux-next", "https://example.org/next.git")
    tree = replace(tree, ref="next-20260102")
    assert checkout(f"git {COMMIT}")["git_commit_name"] == "next-20260102"
    assert "git_commit_hash" not in checkout(f"git {COMMIT} (next-20260101) + uncommitted changes")
