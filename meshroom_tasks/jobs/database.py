"""The one place that knows which database there is: connections, transactions, schema."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from meshroom_tasks.errors import PATIENTLY, ServiceError

_BUSY_SECONDS = 30


class DatabaseUnavailable(ServiceError):
    code = "database_unavailable"
    retry = PATIENTLY
    http_status = 503


class SchemaOutdated(DatabaseUnavailable):
    code = "database_schema_outdated"


class Database:
    """`transaction` for everything that writes, `snapshot` for what only reads."""

    def __init__(self, url: str) -> None:
        self._url = sa.make_url(url)
        self.engine = sa.create_engine(self._url, hide_parameters=True, **self._options())
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end of the block, rolled back by an exception.

        On SQLite it takes the write lock at once, so that it never fails half-way for want of it.
        """
        with self._translated(), self.engine.execution_options(writes=True).begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        with self._translated(), self.engine.begin() as connection:
            yield connection

    def ping(self) -> None:
        with self.snapshot() as connection:
            connection.execute(sa.text("select 1"))

    def upgrade(self) -> None:
        """Bring the schema to this version's. Processes that start together take turns."""
        with self._migration_lock():
            if not self.is_current():
                command.upgrade(self._alembic(), "head")

    def is_current(self) -> bool:
        with self.snapshot() as connection:
            found = MigrationContext.configure(connection).get_current_heads()
        return set(found) == set(ScriptDirectory.from_config(self._alembic()).get_heads())

    def require_current(self) -> None:
        if not self.is_current():
            raise SchemaOutdated("the database schema is not that of this version; run the migrations first")

    def _options(self) -> dict[str, Any]:
        if not self.is_sqlite:
            return {"pool_pre_ping": True}
        if self._url.database and self._url.database != ":memory:":
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        return {"connect_args": {"timeout": _BUSY_SECONDS}}

    def _alembic(self) -> Config:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["engine"] = self.engine
        return config

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if not self.is_sqlite or not self._url.database:
            yield
            return
        with Path(f"{self._url.database}.migration").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            raise DatabaseUnavailable("the job database cannot be used right now; try again in a moment") from error


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # The driver's own BEGIN comes too late to be a snapshot.
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")
    cursor.execute("pragma foreign_keys = on")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("begin immediate" if writes else "begin")
