"""Many small transactions in one: while one is committed, those that come meanwhile gather for the next.

SQLite has one writer at a time, and a commit that survives a power cut waits for the disk. Threads that come with their
work one by one would wait for each other's commits; together they wait for one. (Group commit, as of DeWitt et al.,
"Implementation Techniques for Main Memory Database Systems", 1984.) A server does this itself, for all its clients.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.jobs.database import Database

T = TypeVar("T")
_MOST = 50


@dataclass(eq=False)
class _Entry:
    work: Callable[[sa.Connection], Any]
    done: bool = False
    value: Any = None
    error: BaseException | None = None


class GroupCommit:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Entry] = []
        self._gathering = threading.Lock()
        self._leading = threading.Lock()

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returns, once it is committed.

        What it raises, it raises alone, and leaves nothing of it; what fails the transaction is raised for all in it.
        """
        if not self._database.is_sqlite:
            with self._database.transaction() as connection:
                return work(connection)
        mine = _Entry(work)
        with self._gathering:
            self._waiting.append(mine)
        while not mine.done:
            with self._leading:
                if not mine.done:
                    with self._gathering:
                        group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                    self._commit(group)
        if mine.error is not None:
            raise mine.error
        value: T = mine.value
        return value

    def _commit(self, group: list[_Entry]) -> None:
        try:
            with self._database.transaction() as connection:
                for entry in group:
                    _run(connection, entry, alone=len(group) == 1)
        except BaseException as error:
            for entry in group:
                entry.error = entry.error or error
        finally:
            for entry in group:
                entry.done = True


def _run(connection: sa.Connection, entry: _Entry, *, alone: bool) -> None:
    if alone:
        entry.value = entry.work(connection)
        return
    try:
        with connection.begin_nested():
            entry.value = entry.work(connection)
    except ServiceError as error:
        entry.error = error
