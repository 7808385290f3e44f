from __future__ import annotations

from dataclasses import replace

from flask.testing import FlaskClient

from meshroom_tasks.jobs.workers import WorkerFacts
from tests.web.conftest import Site

GPU0 = WorkerFacts("gpu0@host", "host", 7, ("gpu",), 1, "meshroom-2023.3.0", "GPU-1", "NVIDIA Test", 24 * 2**30)
LIGHT = WorkerFacts("light@host", "host", 8, ("ingest", "callback"), 2)


def test_workers_are_listed_with_their_machines(site: Site, client: FlaskClient) -> None:
    assert client.get("/api/v1/workers").get_json() == {"data": []}
    site.store.worker_started(GPU0)
    site.store.worker_started(LIGHT)
    gpu, light = client.get("/api/v1/workers").get_json()["data"]
    assert gpu["gpu"] == {"uuid": "GPU-1", "name": "NVIDIA Test", "memory_bytes": 24 * 2**30}
    assert (gpu["name"], gpu["state"], gpu["queues"]) == ("gpu0@host", "running", ["gpu"])
    assert (gpu["engine"], gpu["running"], gpu["refusal"]) == ("meshroom-2023.3.0", [], None)
    assert (light["gpu"], light["engine"], light["processes"]) == (None, None, 2)


def test_what_a_worker_runs_is_shown(site: Site, client: FlaskClient) -> None:
    site.store.worker_started(LIGHT)
    job_id = site.submit()
    [hint] = site.store.take_hints()
    assert site.store.claim(hint.subject, "light@host") is not None
    [worker] = client.get("/api/v1/workers").get_json()["data"]
    [step] = worker["running"]
    assert (step["job_id"], step["stage"], step["chunk"], step["progress"]) == (job_id, "ingest", 0, 0.0)


def test_a_refusal_is_shown_with_its_reason(site: Site, client: FlaskClient) -> None:
    site.store.worker_started(replace(GPU0, refusal="no GPU is visible: Driver Not Loaded"))
    [worker] = client.get("/api/v1/workers").get_json()["data"]
    assert (worker["state"], worker["refusal"]) == ("refused", "no GPU is visible: Driver Not Loaded")
