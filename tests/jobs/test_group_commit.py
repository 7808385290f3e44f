from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from meshroom_tasks.errors import Conflict, DatabaseUnavailable
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.group_commit import GroupCommit

_TABLE = sa.table("item", sa.column("name"))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'd.db'}")
    with database.transaction() as connection:
        connection.execute(sa.text("create table item (name text unique)"))
    return database


def names(database: Database) -> set[str]:
    with database.snapshot() as connection:
        return set(connection.scalars(sa.select(_TABLE.c.name)))


def write(connection: sa.Connection, name: str) -> str:
    connection.execute(sa.insert(_TABLE).values(name=name))
    return name


class Gathered:
    """Works of several threads that are in one transaction: they come while another is committed."""

    def __init__(self, database: Database) -> None:
        self.commits = GroupCommit(database)
        self.outcomes: dict[str, object] = {}
        self._first_runs, self._go_on = threading.Event(), threading.Event()

    def run(self, *works: tuple[str, Exception | None]) -> None:
        first = threading.Thread(target=self.commits.run, args=(self._first,))
        first.start()
        self._first_runs.wait()
        threads = [threading.Thread(target=self._one, args=work) for work in works]
        for thread in threads:
            thread.start()
        while len(self.commits._waiting) < len(works):
            pass
        self._go_on.set()
        for thread in (first, *threads):
            thread.join()

    def _first(self, connection: sa.Connection) -> None:
        self._first_runs.set()
        self._go_on.wait()

    def _one(self, name: str, error: Exception | None) -> None:
        def work(connection: sa.Connection) -> str:
            write(connection, name)
            if error is not None:
                raise error
            return name

        try:
            self.outcomes[name] = self.commits.run(work)
        except Exception as raised:
            self.outcomes[name] = raised


def test_one_alone_is_a_transaction(database: Database) -> None:
    commits = GroupCommit(database)
    assert commits.run(lambda connection: write(connection, "a")) == "a"
    with pytest.raises(Conflict):
        commits.run(lambda connection: (write(connection, "b"), _fail(Conflict("no"))))
    assert names(database) == {"a"}


def test_what_is_refused_leaves_nothing_and_the_others_are_committed(database: Database) -> None:
    gathered, refusal = Gathered(database), Conflict("no")
    gathered.run(("a", None), ("b", refusal), ("c", None))
    assert gathered.outcomes == {"a": "a", "b": refusal, "c": "c"}
    assert names(database) == {"a", "c"}


def test_a_failure_of_the_database_is_everybodys(database: Database) -> None:
    gathered = Gathered(database)
    gathered.run(("a", None), ("b", sa.exc.OperationalError("x", {}, Exception("disk"))))
    assert {type(outcome) for outcome in gathered.outcomes.values()} == {DatabaseUnavailable}
    assert names(database) == set()
    assert gathered.commits.run(lambda connection: write(connection, "a")) == "a"


def _fail(error: Exception) -> None:
    raise error
