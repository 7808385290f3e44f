"""The one place that knows which database there is: connections, transactions, clock, schema."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from meshroom_tasks.errors import DatabaseUnavailable, SchemaOutdated

_BUSY_SECONDS = 30.0
_BUSY_PAUSE = 0.0005
_MIGRATION_KEY = 0x6D657368  # "mesh": the advisory lock that migrations of one database share.
_BEGAN = "when this transaction began"
_CLOCK = sa.select(sa.func.clock_timestamp())

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = sa.table("alembic_version", sa.column("version_num"))

# A host that vanished without a word is noticed well within a lease.
_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}

if TYPE_CHECKING:
    from alembic.config import Config

_UNUSABLE = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, sqlite3.OperationalError)


@dataclass(frozen=True)
class Limits:
    """Of one process: its largest number of connections to a server, and how many seconds it waits for what."""

    pool_size: int = 10
    pool_seconds: float = 10.0
    connect_seconds: int = 5
    statement_seconds: float = 30.0
    lock_seconds: float = 10.0


class Database:
    """`transaction` for everything that writes, `snapshot` for what only reads.

    `url` is one of SQLAlchemy's; `postgresql://` and `postgres://` mean PostgreSQL through psycopg.
    """

    def __init__(self, url: str, limits: Limits = Limits()) -> None:
        self._url = _with_driver(sa.make_url(url))
        self.engine = sa.create_engine(self._url, hide_parameters=True, **self._options(limits))
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
            self._reading = self.engine
        else:
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writing = self.engine.execution_options(writes=True)

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end of the block, rolled back by an exception.

        On SQLite it takes the write lock at once, so that it never fails half-way for want of it.
        """
        with self._translated(), self._begun(self._writing) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """All that is read in the block is of one moment."""
        with self._translated(), self._begun(self._reading) as connection:
            yield connection

    def now(self, connection: sa.Connection) -> datetime:
        """The time at which the transaction began, by the clock that all who use the database share.

        Leases compare times that different machines wrote; a server's own clock is the same for all of them.
        """
        if self.is_sqlite:
            return datetime.now(UTC)
        began: datetime = connection.info[_BEGAN]
        return began.astimezone(UTC)

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that may say what to do on a conflict."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def ping(self) -> None:
        with self.snapshot() as connection:
            connection.execute(sa.text("select 1"))

    def upgrade(self, *, seconds: float = 300.0) -> None:
        """Bring the schema to this version's. Processes that start together take turns, for up to `seconds`."""
        with self._translated(), self._migration_lock(seconds):
            if not self.is_current():
                # Slow to import, and all but never needed.
                from alembic import command

                command.upgrade(self._alembic(), "head")

    def is_current(self) -> bool:
        with self.snapshot() as connection:
            if not sa.inspect(connection).has_table(_VERSION.name):
                return False
            return connection.scalars(sa.select(_VERSION.c.version_num)).all() == [_newest_revision()]

    def require_current(self) -> None:
        if not self.is_current():
            raise SchemaOutdated(
                "the database schema is not that of this version; run: python -m meshroom_tasks.jobs.migrate"
            )

    @contextmanager
    def _begun(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A transaction. On a server, asking for the time shows too whether a pooled connection still works."""
        if self.is_sqlite:
            with engine.begin() as connection:
                yield connection
            return
        try:
            connection = _asked_for_time(engine)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
            connection = _asked_for_time(engine)  # All that were pooled are given up now; this one is new.
        with connection:
            yield connection
            connection.commit()

    def _options(self, limits: Limits) -> dict[str, Any]:
        if not self.is_sqlite:
            return _server_options(limits, str(self._url.query.get("options", "")))
        if self._url.database and self._url.database != ":memory:":
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        return {"connect_args": {"timeout": _BUSY_SECONDS}}

    def _alembic(self) -> Config:
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["engine"] = self.engine
        return config

    @contextmanager
    def _migration_lock(self, seconds: float) -> Iterator[None]:
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                _take_turn(connection.execution_options(isolation_level="AUTOCOMMIT"), seconds)
                yield
                connection.execute(sa.select(sa.func.pg_advisory_unlock(_MIGRATION_KEY)))
        elif self._url.database:
            with Path(f"{self._url.database}.migration").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        else:
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Deadlocks, time-outs and refused connections come as OperationalError; a lost one may come as either."""
        try:
            yield
        except _UNUSABLE as error:
            raise DatabaseUnavailable("the job database cannot be used right now; try again in a moment") from error


@cache
def _newest_revision() -> str:
    """The migrations are numbered: the last one's number."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _with_driver(url: sa.URL) -> sa.URL:
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def _server_options(limits: Limits, options: str) -> dict[str, Any]:
    session = {
        "statement_timeout": round(limits.statement_seconds * 1000),
        "lock_timeout": round(limits.lock_seconds * 1000),
        # A holder of locks that hangs must not hang the others.
        "idle_in_transaction_session_timeout": round(limits.statement_seconds * 2000),
    }
    return {
        "pool_size": limits.pool_size,
        "max_overflow": 0,
        "pool_timeout": limits.pool_seconds,
        "pool_use_lifo": True,
        "connect_args": {
            "connect_timeout": limits.connect_seconds,
            "application_name": "meshroom-tasks",
            "options": " ".join([options, *(f"-c {name}={value}" for name, value in session.items())]).strip(),
            **_KEEPALIVE,
        },
    }


def _take_turn(connection: sa.Connection, seconds: float) -> None:
    """Raises DatabaseUnavailable when another process still migrates after that time."""
    deadline = time.monotonic() + seconds
    while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_MIGRATION_KEY))).scalar_one():
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(f"another process has been migrating the database for {seconds:.0f} s")
        time.sleep(0.2)


def _asked_for_time(engine: sa.Engine) -> sa.Connection:
    """A connection in a new transaction."""
    connection = engine.connect()
    try:
        connection.info[_BEGAN] = connection.execute(_CLOCK).scalar_one()
    except BaseException:
        connection.close()
        raise
    return connection


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # The driver's own BEGIN comes too late to be a snapshot.
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")
    cursor.execute("pragma foreign_keys = on")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    driver = connection.connection.cursor()
    if connection.get_execution_options().get("writes", False):
        _take_write_lock(driver)
    else:
        driver.execute("begin")
    driver.close()


def _take_write_lock(cursor: Any) -> None:
    """Wait for other writers, at most as long as SQLite itself would.

    SQLite's own waiting sleeps longer and longer, up to 0.1 s, while those write who come later.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    cursor.execute("pragma busy_timeout = 0")
    try:
        while True:
            try:
                cursor.execute("begin immediate")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_BUSY_PAUSE)
    finally:
        cursor.execute(f"pragma busy_timeout = {round(_BUSY_SECONDS * 1000)}")
