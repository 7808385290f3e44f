from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from meshroom_tasks.errors import ServiceError, StorageUnavailable
from meshroom_tasks.jobs.workers import WorkerFacts
from tests.jobs.conftest import migrated
from tests.servers.postgres import PostgresServer
from tests.web.conftest import Site
from tests.web.problem import assert_problem

LIGHT = WorkerFacts("light@host", "host", 8, ("ingest", "callback"), 2)
CPU = WorkerFacts("cpu@host", "host", 9, ("cpu", "gpu"), 2)
GPU0 = WorkerFacts("gpu0@host", "host", 7, ("gpu",), 1)
GOOD = {"database": "ok", "broker": "ok", "storage": "ok"}


def fail() -> None:
    raise StorageUnavailable("secret path")


def test_alive_touches_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.store, "ping", fail)
    monkeypatch.setattr(site.storage, "check", fail)
    site.broker_error = RuntimeError()
    answer = site.visitor().get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_ready(site: Site) -> None:
    for worker in (LIGHT, CPU):
        site.store.worker_started(worker)
    answer = site.visitor().get("/readyz")
    ready = {"status": "ready", "checks": GOOD, "refusing": [], "queues_without_worker": []}
    assert (answer.status_code, answer.get_json()) == (200, ready)


@pytest.fixture(params=["sqlite", "postgres"])
def on_either(request: pytest.FixtureRequest, make_site: Callable[..., Site]) -> Iterator[Site]:
    if request.param == "sqlite":
        yield make_site()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.new_database("migrated", migrated)
    site = make_site(database_url=url)
    yield site
    site.store.database.engine.dispose()
    server.drop_database(url)


def test_workers_that_refuse_and_queues_that_nobody_serves_are_named(on_either: Site) -> None:
    reason = "no GPU is visible: Driver Not Loaded"
    on_either.store.worker_started(LIGHT)
    on_either.store.worker_started(replace(CPU, queues=("cpu",)))
    on_either.store.worker_started(replace(GPU0, refusal=reason))
    answer = on_either.client().get("/readyz")
    body = assert_problem(answer, 503, "not_ready")
    assert body["detail"] == "no worker takes tasks from: gpu"
    assert body["refusing"] == [{"name": "gpu0@host", "reason": reason}]
    assert body["queues_without_worker"] == ["gpu"]
    told = on_either.visitor().get("/readyz").get_json(force=True)
    assert told["refusing"] == [{"name": "gpu0@host", "reason": None}]
    assert on_either.submit(), "jobs are taken all the same"

    on_either.store.worker_started(GPU0)
    on_either.store.ask_to_drain("cpu@host")
    told = on_either.client().get("/readyz").get_json(force=True)
    assert (told["refusing"], told["queues_without_worker"]) == ([], ["cpu"])


def test_a_process_that_drains_is_not_ready(site: Site) -> None:
    site.parts.streams.close()
    body = assert_problem(site.visitor().get("/readyz"), 503, "not_ready")
    assert "stopping" in body["detail"]


@pytest.mark.parametrize("part", ["database", "broker", "storage"])
def test_not_ready_says_which_part(site: Site, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    if part == "database":
        monkeypatch.setattr(site.store, "ping", fail)
    elif part == "storage":
        monkeypatch.setattr(site.storage, "check", fail)
    else:
        site.broker_error = ServiceError("no broker")
    answer = site.visitor().get("/readyz")
    body = assert_problem(answer, 503, "not_ready")
    assert body["checks"] == {**GOOD, part: "unavailable"}
    assert part in body["detail"]
    assert "secret" not in answer.get_data(as_text=True)


def test_a_folder_that_cannot_be_written_is_noticed(site: Site) -> None:
    root = site.settings.data_dir / "storage"
    root.parent.mkdir(parents=True, exist_ok=True)
    root.write_text("a file where the folder should be")
    assert site.visitor().get("/readyz").get_json(force=True)["checks"]["storage"] == "unavailable"
