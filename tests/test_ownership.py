"""A sweeper removes nothing from an object store that is not that of its database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from meshroom_tasks.errors import StorageUnavailable
from meshroom_tasks.handoff.eviction import CacheLimits
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.installation import installation
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.ownership import MARK, adopt, is_ours, mark_of
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import Storage, open_storage
from meshroom_tasks.sweeper import Tidying
from tests.jobs.conftest import clock, empty_url, url
from tests.test_removal import completed, everything, kept, storage, store

__all__ = ["clock", "empty_url", "storage", "store", "url"]

MakeStore = Callable[[], JobStore]


@pytest.fixture
def another(tmp_path: Path) -> MakeStore:
    """A new database each time."""

    def make() -> JobStore:
        made.append(JobStore(Database(f"sqlite:///{tmp_path / f'another-{len(made)}.sqlite'}")))
        made[-1].database.upgrade()
        return made[-1]

    made: list[JobStore] = []
    return make


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is of no job goes however young it is."""
    monkeypatch.setattr("meshroom_tasks.sweeper._LEFT_BEHIND", timedelta(seconds=-60))


def tidy(store: JobStore, storage: Storage) -> None:
    Tidying(store, storage, CacheLimits()).when_due()


@pytest.mark.usefixtures("at_once")
def test_nothing_goes_from_the_store_of_another_database(
    store: JobStore, storage: Storage, another: MakeStore, tmp_path: Path
) -> None:
    job_id = completed(store, storage, tmp_path)
    tidy(store, storage)
    assert mark_of(storage) == store.installation().id
    stranger = another()
    tidy(stranger, storage)
    assert kept(storage) == everything(job_id)
    assert stranger.figures().storage_is_anothers
    assert not store.figures().storage_is_anothers
    storage.put_bytes("results/gone/model.glb", b"x")
    tidy(store, storage)
    assert kept(storage) == everything(job_id), "it is still that of the first, which removes what is of no job"
    assert adopt(stranger, storage) == store.installation().id
    tidy(stranger, storage)
    assert not stranger.figures().storage_is_anothers
    assert not {f"jobs {job_id}", f"results {job_id}"} & kept(storage)
    tidy(store, storage)
    assert store.figures().storage_is_anothers


@pytest.mark.usefixtures("at_once")
def test_a_full_store_without_a_mark_is_not_that_of_a_new_database(
    store: JobStore, storage: Storage, another: MakeStore, tmp_path: Path
) -> None:
    old = completed(store, storage, tmp_path)
    new = another()
    young = completed(new, storage, tmp_path, "e" * 64)
    tidy(new, storage)
    assert mark_of(storage) is None
    assert kept(storage) == everything(old) | everything(young, "e" * 64)
    assert adopt(new, storage) is None
    tidy(new, storage)
    assert f"results {old}" not in kept(storage)
    assert everything(young, "e" * 64) <= kept(storage)


@pytest.mark.usefixtures("at_once")
def test_a_database_from_before_there_were_marks_keeps_its_store(store: JobStore, storage: Storage) -> None:
    with store.database.transaction() as connection:
        connection.execute(sa.update(installation).values(is_older=True))
    storage.put_bytes("jobs/gone/logs/results/0.log", b"a last word")
    tidy(store, storage)
    assert mark_of(storage) == store.installation().id
    assert kept(storage) == set()


def test_a_migration_tells_old_databases_from_new_ones(store: JobStore, tmp_path: Path) -> None:
    assert not store.installation().is_older
    first = store.installation().id
    completed(store, open_storage(load_settings(storage_url=(tmp_path / "objects").as_uri())), tmp_path)
    command.downgrade(store.database._alembic(), "0019")
    store.database.upgrade()
    assert store.installation().is_older
    assert store.installation().id != first


def test_sweepers_that_start_together(store: JobStore, storage: Storage, another: MakeStore) -> None:
    """Those of one database agree; of two databases one has the store."""
    stores = [store] * 3 + [another()] * 3
    together = threading.Barrier(len(stores))

    def start(one: JobStore) -> bool:
        together.wait()
        return is_ours(one, storage)

    with ThreadPoolExecutor(len(stores)) as pool:
        found = list(pool.map(start, stores))
    assert found in ([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)


def test_a_store_that_is_away_is_marked_later(
    store: JobStore, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> bytes:
        raise StorageUnavailable("the plug was pulled")

    for call in ("get_bytes", "put_bytes"):
        with monkeypatch.context() as patch:
            patch.setattr(storage, call, away)
            with pytest.raises(StorageUnavailable):
                tidy(store, storage)
        assert MARK not in storage.list()
    tidy(store, storage)
    assert mark_of(storage) == store.installation().id
