# SPDX-License-Identifier: GPL-2.0-or-later
"""The history: migrations with data, several writers, what is wrong with a file, and what is asked of it."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from harness.errors import ExitStatus, InfrastructureError, UserError
from harness.jobs import history as job
from harness.jobs.results import RunFolder
from harness.model import Outcome
from harness.store import history, migrations
from harness.store.database import Store, _engine, upgrade
from harness.store.schema import HEAD, KNOWN, metadata
from tests.unit import runs

SAMPLES = {
    "0001": [
        "INSERT INTO kernel VALUES (1, 'ab', '6.1', '6.1.192', 'Debian')",
        "INSERT INTO run VALUES (1, 'r1', 'run', '2026-01-01T00:00:00+00:00', 1.5, 1, '', 's', '', '', 'e', 'g', "
        "'0.1', '/results/r1')",
        "INSERT INTO guest VALUES (1, 1, 1, 'base', 'cortex-a57', 'cd', '', '', 'POWEROFF', 1, 2.0, 3.0)",
        "INSERT INTO outcome VALUES (1, 1, 'anon-reuse', 'LOOP', 'why', 50, 49, 0, 0, 0, 1.0)",
        "INSERT INTO counter VALUES (1, 'cmd-resume', 50)",
        "INSERT INTO splat VALUES (1, 1, '', 'warning', 'WARNING: at')",
    ],
    "0002": [
        "INSERT INTO night VALUES (1, 'tree', '', 'next-20260101', 'abc', 'what')",
        "INSERT INTO finding VALUES (1, 1, 'anon-reuse', 'cortex-a57', 'new', 'LOOP', 'why', '')",
    ],
}
"""Rows that each migration made room for."""


def made_at(path: Path, revision: str) -> None:
    """A file as the faultloop of that revision left it, with data."""
    with _engine(path).execution_options(begin="IMMEDIATE").begin() as connection:
        upgrade(connection, revision)
        for known in KNOWN[: KNOWN.index(revision) + 1]:
            for row in SAMPLES[known]:
                connection.execute(text(row))


def test_each_migration_is_known_and_has_a_sample() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    assert [r.revision for r in reversed(list(script.walk_revisions()))] == list(KNOWN)
    assert set(SAMPLES) == set(KNOWN)


@pytest.mark.parametrize("revision", KNOWN)
def test_data_of_every_version_is_there_after_the_migration(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "h.sqlite"
    made_at(path, revision)
    store = Store(path)
    [point] = history.points(store, "anon-reuse", count="cmd-resume")
    assert (point.outcome, point.stalls, point.counted, point.version) == (Outcome.LOOP, 50, 50, "6.1.192")
    with store.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD
        assert connection.execute(text("SELECT title FROM splat")).scalar() == "WARNING: at"
        for row in SAMPLES[revision]:
            table = row.split()[2]
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 1


def test_a_new_file_has_the_tables_that_the_migrations_make(tmp_path: Path) -> None:
    new, migrated = tmp_path / "new.sqlite", tmp_path / "old.sqlite"
    made_at(migrated, KNOWN[0])
    Store(new), Store(migrated)
    assert _tables(new) == _tables(migrated)
    assert set(_tables(new)) == {*metadata.tables, "alembic_version"}


def _tables(path: Path) -> dict[str, object]:
    seen = inspect(_engine(path))
    return {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in seen.get_columns(name)],
            seen.get_pk_constraint(name)["constrained_columns"],
            sorted((i["name"] or "", i["column_names"]) for i in seen.get_indexes(name)),
            sorted(
                (f["constrained_columns"], f["referred_table"], f["options"]) for f in seen.get_foreign_keys(name)
            ),
            sorted(u["column_names"] for u in seen.get_unique_constraints(name)),
        )
        for name in seen.get_table_names()
    }


def test_a_migration_that_fails_has_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "h.sqlite"
    made_at(path, "0001")

    def killed(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("alembic.op.create_index", killed)
        with pytest.raises(KeyboardInterrupt):
            Store(path)
    assert "night" not in inspect(_engine(path)).get_table_names()
    assert len(history.points(Store(path), "anon-reuse")) == 1


def test_a_newer_schema_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    Store(path)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(
        InfrastructureError, match=r"h\.sqlite: written by a newer faultloop \(schema 0999, .*update"
    ):
        Store(path)


@pytest.mark.parametrize("content", [b"no database " * 99, b""])
def test_a_file_that_is_no_history(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "h.sqlite"
    path.write_bytes(content)
    if not content:
        Store(path)  # an empty file is an empty database
        return
    with pytest.raises(InfrastructureError, match="the history cannot be used: file is not a database"):
        Store(path)


def test_another_ones_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    with pytest.raises(InfrastructureError, match="no history of faultloop; name another file"):
        Store(path)


def _write(arguments: tuple[Path, Path, int]) -> None:
    path, folder, number = arguments
    run = runs.run(folder, ["PASS"] * 20)
    for turn in range(5):
        history.add(Store(path), job.of_run(run, Path(f"/results/{number}-{turn}")))


def test_several_processes_make_and_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(_write, [(path, tmp_path, n) for n in range(4)], chunksize=1)
    assert len(history.points(Store(path), "a")) == 20
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert raw.execute("SELECT count(*) FROM kernel").fetchone() == (1,)


def test_a_writer_that_reads_first_waits_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    made_at(path, HEAD)

    def count(_number: int) -> None:
        with Store(path).writing() as connection:
            found = connection.execute(text("SELECT max(stalls) FROM outcome")).scalar()
            time.sleep(0.2)
            connection.execute(text(f"UPDATE outcome SET stalls = {found} + 1"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(count, range(2)))
    assert history.points(Store(path), "anon-reuse")[0].stalls == 52


def test_a_run_is_kept_whole_and_found_by_kernel_and_setup(tmp_path: Path) -> None:
    run = runs.run(tmp_path, ["LOOP", "PASS"], ["PASS", "SPLAT"])
    store = Store(tmp_path / "h.sqlite")
    history.add(store, job.of_run(run, Path("/results/one")))
    points = history.points(store, "a", count="stalls")
    assert [(p.variant, p.outcome, p.counted) for p in points] == [
        ("base", Outcome.LOOP, 1),
        ("patched", Outcome.PASS, 1),
    ]
    assert points[1].title == run.series.title
    for named, count in (("6.1", 2), ("6.1.192", 2), ("6.*", 2), ("6", 2), ("6.12", 0)):
        assert len(history.points(store, "a", named=named)) == count, named
    assert not history.points(store, "a", setup="cortex-a76")
    assert len(history.points(store, "*", setup="cortex-*")) == 4
    with store.reading() as connection:
        assert connection.execute(text("SELECT path, kind FROM splat")).all() == [("b", "warning")]


def kept(folder: Path, results: Path) -> Path:
    partial = RunFolder(results, "x")
    with partial.open():
        return partial.keep(runs.run(folder, ["LOOP"]))


def test_keeping_a_run_writes_history_and_submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(job.VARIABLE, raising=False)
    results = tmp_path / "results"
    folder = kept(tmp_path, results)
    assert (folder / "kcidb.json").is_file()
    [point] = job.course(results, "a")
    assert (point.run, point.job) == (folder.name, "run")
    with pytest.raises(UserError, match="has nothing about 'anon'"):
        job.course(results, "anon")
    with pytest.raises(UserError, match="has nothing of that kernel and setup about 'a'"):
        job.course(results, "a", named="7.3")
    with pytest.raises(UserError, match="no history yet"):
        job.course(tmp_path / "elsewhere", "a")


def test_a_history_that_cannot_be_written_does_not_lose_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(job.VARIABLE, "/dev/null/h.sqlite")
    folder = kept(tmp_path, tmp_path / "results")
    assert (folder / "run.json").is_file()
    said = capsys.readouterr().err
    assert said.startswith("faultloop: note: this run is not in the history: /dev/null/h.sqlite")
    assert said.count("\n") == 1


def test_a_run_that_is_there_already_is_told(tmp_path: Path) -> None:
    store, one = Store(tmp_path / "h.sqlite"), job.of_run(runs.run(tmp_path, ["PASS"]), Path("/results/one"))
    history.add(store, one)
    with pytest.raises(InfrastructureError, match="UNIQUE"):
        history.add(store, replace(one, status=ExitStatus.USER))
    assert len(history.points(store, "a")) == 1
