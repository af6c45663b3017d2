# SPDX-License-Identifier: GPL-2.0-or-later
"""``run.json``: what is written is read, what is published is what is read, and every report can be made again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import JUnitXml

from harness.errors import UserError
from harness.jobs import kept
from harness.jobs.report import remake
from harness.jobs.results import RunFolder
from harness.layout import cache_root, project
from harness.model import Change, GuestRecord, Outcome, PathResult, Setup, Splat, Verdict, Workload
from harness.report import document, ktap, schema
from harness.report.schema import RunFile
from tests.unit import runs

PUBLISHED = project().root / "docs" / "run.schema.json"
REPORTS = ("report.txt", "results.ktap", "junit.xml")

WORD = st.text(max_size=8)
WORDS = st.lists(WORD, max_size=3).map(tuple)
NUMBER = st.integers(-(1 << 63), 1 << 63)
SECONDS = st.floats(0, 1e9, allow_nan=False).map(lambda s: round(s, 3))
SPLATS = st.lists(st.builds(Splat, WORD, WORD, WORD, NUMBER), max_size=2).map(tuple)
RESULTS = st.builds(
    schema.Result,
    outcome=st.sampled_from(Outcome),
    reason=WORD,
    stalls=NUMBER,
    tlbi=NUMBER,
    seconds=SECONDS,
    facts=st.dictionaries(WORD, WORD, max_size=3),
    counters=st.dictionaries(WORD, NUMBER, max_size=3),
    splats=SPLATS,
)
ROWS = st.builds(
    schema.Row,
    path=WORD,
    setup=WORD,
    base=RESULTS,
    patched=st.none() | RESULTS,
    change=st.none() | st.sampled_from(Change),
    controls=st.dictionaries(WORD, RESULTS, max_size=2),
)
BUILDS = st.builds(
    schema.Build, key=WORD, release=WORD, image_sha256=WORD, objects=NUMBER, seconds=SECONDS, warnings=WORDS
)
PATCHES = st.builds(schema.PatchFile, subject=WORD, author=WORD, message_id=WORD, files=WORDS, sha256=WORD)
FILES = st.builds(
    RunFile,
    faultloop=WORD,
    job=WORD,
    started=WORD,
    seconds=SECONDS,
    verdict=st.none() | st.sampled_from(Verdict),
    summary=WORD,
    exit_status=NUMBER,
    mended=st.dictionaries(WORD, WORD, max_size=2),
    notes=WORDS,
    command=WORDS,
    patch=st.none() | st.builds(schema.SeriesFile, title=WORD, patches=st.lists(PATCHES, max_size=2).map(tuple)),
    kernel=st.builds(schema.KernelFile, name=WORD, version=WORD, origin=WORD, sha256=WORD),
    builds=st.builds(schema.Builds, base=BUILDS, patched=st.none() | BUILDS),
    emulator=st.builds(schema.EmulatorFile, version=WORD, origin=WORD, key=WORD),
    setups=st.dictionaries(WORD, st.builds(Setup, name=WORD, cpu=WORD), max_size=2),
    workloads=st.lists(st.builds(Workload, path=WORD, family=WORD, what=WORD), max_size=2).map(tuple),
    paths=st.lists(ROWS, max_size=3).map(tuple),
    guests=st.lists(
        st.builds(
            schema.GuestFile,
            variant=WORD,
            setup=WORD,
            end=WORD,
            outcomes=st.dictionaries(WORD, st.sampled_from(Outcome), max_size=2),
        ),
        max_size=2,
    ).map(tuple),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with a patch and a control, kept, with what its workloads printed."""
    run = runs.run(tmp_path, ["LOOP", "PASS", "SKIP", "PASS"], ["PASS", "PASS", "SKIP", "SPLAT"])
    off = GuestRecord("base-iotlb-off", "cortex-a57", (runs.result("a", "PASS"),), "POWEROFF")
    run = replace(run, records=(*run.records, off))
    new = RunFolder(tmp_path / "results", "x")
    with new.open() as where:
        for record in run.records:
            logs = where / record.variant / record.setup / "boot-0"
            logs.mkdir(parents=True)
            for result in record.results:
                (logs / f"{result.path}.ktap").write_text(result.ktap)
        return new.keep(run)


@given(FILES)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(file: RunFile) -> None:
    assert schema.parse(schema.dump(file), "run.json") == file


def test_a_run_is_the_same_after_its_file(tmp_path: Path) -> None:
    run = runs.run(tmp_path, ["LOOP", "PASS", "SKIP", "PASS"], ["PASS", "PASS", "SKIP", "SPLAT"])
    off = GuestRecord("base-btm", "cortex-a57", (runs.result("a", "PASS"),), "POWEROFF")
    odd = replace(runs.result("a", "PASS"), retries=7, tlbi_wide=5, seconds=1.5, splats=(Splat("k", "t", "x", 3),))
    run = replace(run, records=(*run.records, replace(off, results=(odd,), booted=False, boot_splats=odd.splats)))
    ktaps = {(rec.variant, r.setup, r.path): r.ktap for rec in run.records for r in rec.results}
    again = document.restore(document.of(run), ktaps)
    assert again.records == run.records and again.workloads == run.workloads
    assert again.judgement is not None and run.judgement is not None
    assert again.judgement.comparisons == run.judgement.comparisons
    assert document.of(again).paths == document.of(run).paths
    for field in ("job", "started", "status", "summary", "setups", "checks", "mended", "base_why", "command"):
        assert getattr(again, field) == getattr(run, field), field
    # A field that the model gets is kept in the file, too.
    assert {f.name for f in fields(PathResult)} - {"path", "setup", "ktap"} == set(schema.Result.model_fields)


def test_the_published_schema_is_up_to_date() -> None:
    assert PUBLISHED.read_text() == schema.published(), (
        "run: $(tools/setup.sh) -m harness.report.schema > docs/run.schema.json"
    )


def test_the_published_schema_takes_a_run_and_no_other(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    check = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text()))
    run = document.document(runs.run(tmp_path, ["LOOP", "PASS"], ["PASS", "PASS"]))
    assert [e.message for e in check.iter_errors(run)] == []
    for wrong in (
        {"schema": "faultloop/run/2.0"},
        {"verdict": "GOOD"},
        {"paths": [{"path": "a"}]},
        {"seconds": "1"},
    ):
        assert list(check.iter_errors({**run, **wrong})), wrong


def test_a_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    run = document.document(runs.run(tmp_path, ["LOOP", "PASS"], ["PASS", "PASS"]))
    del run["workloads"]
    old = {**run, "schema": "faultloop/run/1", "paths": [_without(row, "controls") for row in run["paths"]]}
    old["guests"] = [_without(guest, "booted") for guest in run["guests"]]
    file = schema.parse(json.dumps(old), "run.json")
    assert file.workloads == () and file.paths[0].controls == {} and file.guests[0].booted


def test_a_newer_minor_version_is_read(tmp_path: Path) -> None:
    run = document.document(runs.run(tmp_path, ["LOOP", "PASS"], ["PASS", "PASS"]))
    new = {**run, "schema": "faultloop/run/1.9", "colour": "blue"}
    assert schema.parse(json.dumps(new), "run.json").paths[0].path == "a"


def test_what_is_absent_is_not_null(tmp_path: Path) -> None:
    run = document.document(runs.run(tmp_path, ["LOOP"]))
    assert "patched" not in run["paths"][0] and "change" not in run["paths"][0] and "patched" not in run["builds"]
    assert run["verdict"] is None and run["patch"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "faultloop/run/2"}, r"x/run.json: has schema 'faultloop/run/2', this version reads"),
        ({"schema": "faultloop/run/10.1"}, "this version reads"),
        ({"schema": "faultloop/sweep/1"}, "has schema 'faultloop/sweep/1'; a run.json has"),
        ({"schema": 7}, "has schema 7"),
        (
            {"paths": [{"path": "a", "setup": "b", "base": {"outcome": "FINE"}}]},
            r"run.json: paths.0.base.outcome: ",
        ),
    ],
)
def test_what_cannot_be_read_is_said_in_one_message(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    run = document.document(runs.run(tmp_path, ["LOOP"], ["PASS"]))
    with pytest.raises(UserError, match=words) as caught:
        schema.parse(json.dumps({**run, **change}), "x/run.json")
    assert "\n" not in caught.value.message


@given(st.recursive(st.none() | st.booleans() | NUMBER | WORD, lambda x: st.lists(x) | st.dictionaries(WORD, x)))
@settings(max_examples=50, deadline=None)
def test_rubbish_is_an_error_of_the_user(found: object) -> None:
    with pytest.raises(UserError):
        schema.parse(json.dumps(found), "run.json")


def test_every_report_can_be_made_again_from_the_folder(folder: Path) -> None:
    before = {name: (folder / name).read_bytes() for name in REPORTS}
    assert b"base-iotlb-off" in before["results.ktap"] and b"progress: done" in before["junit.xml"]
    for name in REPORTS:
        (folder / name).unlink()
    made = remake(folder)
    assert {path.name for path in made} >= set(REPORTS)
    assert {name: (folder / name).read_bytes() for name in REPORTS} == before
    assert not list(folder.glob(".*"))


def test_a_strangers_file_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "boot-0"
    outside.mkdir(parents=True)
    (outside / "a.ktap").write_text("secret")
    file = kept.read(folder)
    evil = file.guests[0].model_copy(update={"variant": "..", "setup": "../outside"})
    assert kept.ktaps(folder, file.model_copy(update={"guests": (evil,)})) == {}
    (folder / "base" / "boot-0").mkdir()
    (folder / "base" / "boot-0" / "a.ktap").write_text("secret")
    half = evil.model_copy(update={"variant": "base", "setup": "../base"})
    assert kept.ktaps(folder, file.model_copy(update={"guests": (half,)})) == {}
    logs = folder / "base" / "cortex-a57" / "boot-0"
    (logs / "b.ktap").unlink()
    (logs / "b.ktap").symlink_to(outside / "a.ktap")
    assert "secret" not in "".join(kept.ktaps(folder, file).values())


def test_linux_own_kunit_reads_the_ktap(folder: Path, tmp_path: Path) -> None:
    trees = sorted(cache_root().glob("sources/*/tree/tools/testing/kunit/kunit.py"))
    if not trees:
        pytest.skip("no kernel source in the cache: tools/testing/kunit is not here")
    for kunit in trees:
        done = subprocess.run(
            [sys.executable, str(kunit), "parse", "--json", str(folder / "results.ktap")],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        told = done.stdout + done.stderr
        assert "Testing complete. Ran 9 tests: passed: 5, failed: 2, skipped: 2" in told, told[-2000:]
        assert "[ERROR]" not in told and "Traceback" not in told


def test_junit_has_a_case_for_each_path_of_each_guest(folder: Path) -> None:
    xml = JUnitXml.fromfile(str(folder / "junit.xml"))
    cases = {suite.name: [case.name for case in suite] for suite in xml}
    assert cases == {
        "base.cortex-a57": ["a", "b", "c", "d"],
        "patched.cortex-a57": ["a", "b", "c", "d"],
        "base-iotlb-off.cortex-a57": ["a"],
    }


def test_ktap_and_file_agree(folder: Path) -> None:
    file = kept.read(folder)
    lines = ktap.write(document.restore(file, kept.ktaps(folder, file))).splitlines()
    points = [line.split() for line in lines if line.startswith(("    ok", "    not ok"))]
    assert len(points) == sum(len(guest.outcomes) for guest in file.guests) == 9


def test_text_that_is_half_a_pair_is_written(tmp_path: Path) -> None:
    run = runs.run(tmp_path, ["LOOP"], ["PASS"])
    file = document.of(replace(run, summary="a\ud800b"))
    assert schema.parse(schema.dump(file), "run.json").summary == "a\N{REPLACEMENT CHARACTER}b"


def _without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != name}


def test_no_run_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run there"):
        remake(tmp_path)
    shutil.copyfile(PUBLISHED, tmp_path / "run.json")
    with pytest.raises(UserError, match="has schema None"):
        remake(tmp_path)
