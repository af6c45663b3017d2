# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of the history: opened, made or migrated, and written by several processes at a time.

SQLite in WAL mode: readers and a writer do not wait for each other, and writers wait their turn. DDL is part of a
transaction here, so a migration that is killed has not been.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import DatabaseError

from harness.errors import InfrastructureError
from harness.store.schema import HEAD, KNOWN, metadata

BUSY_SECONDS = 30.0
"""How long a writer waits for others."""
_WAY_OUT = "name another file in FAULTLOOP_HISTORY"


class Store:
    """The history in ``path``, which is made when it is not there; InfrastructureError when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(path)
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._revision() != HEAD:
                self._migrate()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write: alone from its begin on, so that it never has to be begun anew."""
        immediate = self._engine.execution_options(begin="IMMEDIATE")
        with self._errors(), immediate.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._errors(), self._engine.begin() as connection:
            yield connection

    def _revision(self) -> str:
        """Of the file; empty for one without a table of ours. InfrastructureError for a newer one."""
        if not self.path.exists():
            return ""
        with self._engine.connect() as connection:
            tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
            names = {row[0] for row in connection.execute(text(tables))}
            if "alembic_version" not in names:
                if names:
                    raise InfrastructureError(f"{self.path}: a database, but no history of faultloop; {_WAY_OUT}")
                return ""
            found = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")
        if found and found not in KNOWN:
            raise InfrastructureError(
                f"{self.path}: written by a newer faultloop (schema {found}, this one knows {HEAD}); update "
                f"faultloop, or {_WAY_OUT}"
            )
        return found

    def _migrate(self) -> None:
        """Bring the file to `HEAD`; of several processes one does it, the others wait."""
        with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=BUSY_SECONDS):
            found = self._revision()
            if found == HEAD:
                return
            if not found:
                with contextlib.closing(sqlite3.connect(self.path)) as raw:
                    raw.execute("PRAGMA journal_mode=WAL")  # is kept in the file
            with self.writing() as connection:
                if found:
                    upgrade(connection)
                else:
                    _make(connection)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DatabaseError) and error.orig else error
            raise InfrastructureError(f"{self.path}: the history cannot be used: {cause}; {_WAY_OUT}") from error
        except Timeout as error:
            raise InfrastructureError(
                f"{self.path}: another process has been migrating the history for {BUSY_SECONDS:g} s; try again"
            ) from error
        except OSError as error:
            raise InfrastructureError(
                f"{self.path}: the history cannot be used: {error.strerror}; {_WAY_OUT}"
            ) from error


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Run the migrations that are missing, in the caller's transaction. They lie inside the package."""
    from alembic import command
    from alembic.config import Config

    from harness.store import migrations

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def _make(connection: Connection) -> None:
    """A new file has the newest tables at once: to import alembic would take longer than all the rest."""
    metadata.create_all(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})


def _engine(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def on_connect(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # BEGIN is ours, below; sqlite3 would not put DDL into a transaction
        raw.execute("PRAGMA foreign_keys=ON")
        raw.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")

    return engine
