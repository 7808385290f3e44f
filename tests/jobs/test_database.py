"""The schema: migrations lead to exactly the tables of today, and processes that start together agree."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from meshroom_tasks.errors import DatabaseUnavailable, SchemaOutdated
from meshroom_tasks.jobs import migrate
from meshroom_tasks.jobs.database import Database, Limits, _newest_revision
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.jobs.tables import metadata
from meshroom_tasks.settings import PROJECT
from tests.servers.postgres import PostgresServer
from tests.waiting import LONG

from .conftest import DIGEST, PHOTOS, claim_kind, migrated, new_job, run_chunks, run_to_plan


def test_migrations_lead_to_the_tables_of_today(empty_url: str) -> None:
    database = Database(empty_url)
    with pytest.raises(SchemaOutdated):
        database.require_current()
    database.upgrade()
    database.require_current()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.engine.dispose()


def test_the_newest_revision_is_told_by_the_numbers_of_the_files() -> None:
    """So that alembic need not be loaded to see whether a schema is that of today."""
    [head] = ScriptDirectory(str(PROJECT / "meshroom_tasks" / "jobs" / "migrations")).get_heads()
    assert head == _newest_revision()


def test_a_migration_gives_the_steps_of_running_jobs_their_turns(store: JobStore) -> None:
    run_to_plan(store, priority=7)
    turns = sa.text("select rank, queued_at, position, chunk from step order by position, chunk")
    with store.database.snapshot() as connection:
        before = connection.execute(turns).all()
    database = store.database
    command.downgrade(database._alembic(), "0002")
    database.upgrade()
    with database.snapshot() as connection:
        assert connection.execute(turns).all() == before
    assert len(run_chunks(store)) == 5


def test_the_version_before_finds_the_steps_that_are_written_later_now(store: JobStore) -> None:
    job_id = store.submit(new_job())
    database = store.database
    command.downgrade(database._alembic(), "0021")
    with database.snapshot() as connection:
        steps = connection.execute(sa.text("select kind, state from step order by position"))
        assert [tuple(row) for row in steps] == [("ingest", "ready"), ("plan", "blocked"), ("results", "blocked")]
    database.upgrade()
    assert [len(stage.chunks) for stage in store.job(job_id).stages] == [1, 1, 1]
    work = claim_kind(store, "ingest")
    assert work is not None
    assert store.finish_ingest(work, PHOTOS, DIGEST, ())
    assert claim_kind(store, "plan") is not None


def _upgrade(url: str) -> None:
    Database(url).upgrade()


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_upgrade, args=(empty_url,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_the_migration_command_waits_for_the_server(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.new_database("empty", lambda _: None)
    monkeypatch.setenv("DATABASE_URL", url)
    postgres.stop()
    try:
        assert migrate.main(["--wait", "0.5"]) == 1
        assert "did not answer" in capsys.readouterr().err
    finally:
        postgres.start()
    assert migrate.main([]) == 0
    Database(url).require_current()


def test_a_database_that_cannot_be_opened_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").mkdir()
    with pytest.raises(DatabaseUnavailable):
        Database(f"sqlite:///{tmp_path / 'a.sqlite'}").ping()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_urls_as_providers_give_them(scheme: str) -> None:
    database = Database(f"{scheme}://user:word@db.example/jobs?sslmode=require")
    expected = "postgresql+psycopg://user:word@db.example/jobs?sslmode=require"
    assert database.engine.url.render_as_string(hide_password=False) == expected


def test_waiting_for_a_lock_a_statement_or_a_connection_ends(postgres: PostgresServer) -> None:
    url = postgres.new_database("empty", lambda _: None)
    hasty = Database(url, Limits(pool_size=2, pool_seconds=0.2, statement_seconds=2.0, lock_seconds=0.5))
    with hasty.transaction() as one, hasty.transaction() as two:
        one.execute(sa.text("select pg_advisory_xact_lock(1)"))
        with pytest.raises(DatabaseUnavailable), hasty.transaction():
            pass
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            two.execute(sa.text("select pg_advisory_xact_lock(1)"))
    with pytest.raises(DatabaseUnavailable), hasty.transaction() as connection:
        connection.execute(sa.text("select pg_sleep(20)"))
    hasty.engine.dispose()


def test_a_writer_of_sqlite_waits_for_another_and_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (Database(f"sqlite:///{tmp_path / 'jobs.sqlite'}") for _ in range(2))
    insert = sa.text("insert into one (number) values (1)")
    with first.transaction() as connection:
        connection.execute(sa.text("create table one (number integer)"))
    with ThreadPoolExecutor(1) as pool:
        with first.transaction() as connection:
            waiting = pool.submit(_write, second, insert)
            time.sleep(0.2)
            connection.execute(insert)
            assert not waiting.done()
        waiting.result(LONG)
    monkeypatch.setattr("meshroom_tasks.jobs.database._BUSY_SECONDS", 0.2)
    with first.transaction(), pytest.raises(DatabaseUnavailable):
        _write(second, insert)
    _write(second, insert)
    with first.snapshot() as connection:
        assert connection.scalar(sa.text("select count(*) from one")) == 3
        assert connection.scalar(sa.text("pragma busy_timeout")) == 200


def _write(database: Database, statement: sa.TextClause) -> None:
    with database.transaction() as connection:
        connection.execute(statement)


def test_leases_are_by_the_clock_of_the_server(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is an hour ahead neither steals leases nor finds work that is not due."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(hours=1)

    store = JobStore(Database(postgres.new_database("migrated", migrated)))
    run_to_plan(store)
    monkeypatch.setattr("meshroom_tasks.jobs.database.datetime", Ahead)
    work = claim_kind(store, "chunk")
    assert work is not None
    assert store.reclaim_expired() == 0
    with store.database.snapshot() as connection:
        until = connection.execute(sa.text("select max(lease_until) - clock_timestamp() from step")).scalar_one()
    assert timedelta(0) < until <= store.timing.lease
    store.database.engine.dispose()
