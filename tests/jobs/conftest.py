"""A job store on a fresh database, once on SQLite and once on PostgreSQL, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest

from meshroom_tasks.jobs.addresses import Address, lineage_of
from meshroom_tasks.jobs.base import Timing
from meshroom_tasks.jobs.database import Database
from meshroom_tasks.jobs.outbox import Hint
from meshroom_tasks.jobs.records import Entry, NewJob, Photo, PlannedWork, ResultFile, Usage, Work
from meshroom_tasks.jobs.store import JobStore
from tests.databases import new_sqlite
from tests.servers.postgres import PostgresServer

PHOTOS = tuple(Photo(i, f"{i:04d}_aaaaaaaa.jpg", f"{i:064d}", 10, 4, 3, "image/jpeg") for i in range(3))
DIGEST = "d" * 64
RESULTS = (ResultFile("texturedMesh.obj", "results/x/texturedMesh.obj", 7, "ab" * 32, "model/obj"),)


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables: every test that asks for it runs on both kinds."""
    yield from _database(request, tmp_path, "empty", lambda _: None)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with the schema of today and no rows."""
    yield from _database(request, tmp_path, "migrated", migrated)


def _database(
    request: pytest.FixtureRequest, folder: Path, template: str, prepare: Callable[[str], None]
) -> Iterator[str]:
    if request.param == "sqlite":
        made = f"sqlite:///{folder / 'jobs.sqlite'}"
        prepare(made)
        yield made
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        made = server.new_database(template, prepare)
        yield made
        server.drop_database(made)


def migrated(url: str) -> None:
    if url.startswith("sqlite:///"):
        new_sqlite(Path(url.removeprefix("sqlite:///")))
        return
    database = Database(url)
    database.upgrade()
    database.engine.dispose()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[JobStore]:
    store = JobStore(Database(url), timing=Timing(), base_url="http://svc", clock=clock)
    yield store
    store.database.engine.dispose()


def new_job(**changes: object) -> NewJob:
    values: dict[str, object] = {
        "image_urls": ("http://a/1.jpg",),
        "callback_url": "http://cb/x",
        "metadata": {"b": 1, "a": [1, {"z": None}]},
        "request_id": "req-12345678",
    }
    return NewJob(**{**values, **changes})  # type: ignore[arg-type]


def planned(name: str, *reads: str, chunks: int = 1, queue: str = "cpu") -> PlannedWork:
    return PlannedWork(
        name=f"{name}_1",
        node_type=name,
        uid=f"uid-{name}",
        chunk_count=chunks,
        chunked=chunks > 1,
        reads=tuple(f"{read}_1" for read in reads),
        reads_photos=False,
        queue=queue,
        weight=10.0,
    )


GRAPH = (planned("Init"), planned("Left", "Init", chunks=2), planned("Right", "Init"), planned("Join", "Left", "Right"))


def entry_for(work: Work, content: str = "") -> Entry:
    digest = f"{work.node_type}-{work.chunk}-{content}"
    key = Address(work.engine, work.photos_digest, work.node_type, work.uid, work.chunk, lineage_of(work.reads)).key
    return Entry(key, f"bundle/{digest}", digest, 5, Usage(1.0, 2.0, 3))


def claim_kind(store: JobStore, kind: str, worker: str = "w1") -> Work | None:
    """Claim the first step of that kind (or stage) whose hint is in the outbox; the hints stay sent."""
    for hint in all_hints(store):
        if hint.task == kind or hint.label.startswith(kind):
            work = store.claim(hint.subject, worker)
            if work is not None:
                return work
    return None


_SEEN: WeakKeyDictionary[JobStore, list[Hint]] = WeakKeyDictionary()


def all_hints(store: JobStore) -> list[Hint]:
    """Every hint that was ever sent in this test: a real broker may deliver any of them again."""
    seen = _SEEN.setdefault(store, [])
    seen.extend(store.take_hints())
    return list(seen)


def run_to_plan(store: JobStore, graph: tuple[PlannedWork, ...] = GRAPH, **changes: object) -> str:
    job_id = store.submit(new_job(**changes))
    ingest = claim_kind(store, "ingest")
    assert ingest is not None
    store.use_photos(ingest, DIGEST)
    assert store.finish_ingest(ingest, PHOTOS, DIGEST, ())
    plan = claim_kind(store, "plan")
    assert plan is not None
    assert store.finish_plan(plan, "engine-1", graph)
    return job_id


def delete(store: JobStore, job_id: str) -> None:
    """Forget an ended job that left nothing in the object store."""
    store.give_up_job(job_id)
    store.forget_job(job_id)


def completed(store: JobStore) -> str:
    """The id of a job that has run to its end."""
    job_id = run_to_plan(store)
    run_chunks(store)
    work = claim_kind(store, "results")
    assert work is not None
    assert store.finish_results(work, RESULTS, {})
    return job_id


def run_chunks(store: JobStore) -> list[str]:
    """Run every chunk that becomes ready; returns `stage/chunk` in the order in which they were run."""
    ran: list[str] = []
    while (work := claim_kind(store, "chunk")) is not None:
        ran.append(f"{work.node}/{work.chunk}")
        assert store.finish_chunk(work, entry_for(work))
    return ran
