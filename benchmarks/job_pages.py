"""What a page of jobs costs the web app when there are 10,000, and what one large job costs.

    python -m benchmarks.job_pages [--jobs 10000] [--rounds 31]

The real app on SQLite, asked through its test client in one process, so that no socket is in the figures. The jobs are
all of one tenant: queued ones, each with its place in the queue, and then as many more that are planned and wait with
their first chunk. The large job has 500 photos and 200 chunks, half of them done. The yardstick of the same run is
`/healthz`, which touches nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.records import JobStatus
from meshroom_tasks.jobs.store import JobStore, open_store
from meshroom_tasks.settings import load_settings
from web.app import create_app

KEY = "a-key-for-benchmarks-1234567890"
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
NODES = (
    *("CameraInit", "FeatureExtraction", "FeatureMatching", "StructureFromMotion"),
    *("DepthMap", "Meshing", "MeshFiltering", "Texturing"),
)


def fill(store: JobStore, count: int, *, planned: bool) -> None:
    """Jobs that wait for their first step, or for the first of eight stages."""
    jobs: list[dict[str, Any]] = []
    stages: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for number in range(count):
        job = job_row(BEGUN + timedelta(seconds=number + (count if planned else 0)), "running" if planned else "queued")
        jobs.append(job)
        before = "done" if planned else "blocked"
        steps += [step_row(job, kind, kind, state=before) for kind in ("ingest", "plan")]
        steps.append(step_row(job, "results", "results", state="blocked"))
        if planned:
            stages += [stage_row(job, position) for position in range(len(NODES))]
            steps += [step_row(job, "chunk", node, state="blocked") for node in NODES[1:]]
            steps.append(step_row(job, "chunk", NODES[0], state="ready"))
        else:
            steps[-3]["state"] = "ready"
    write(store, jobs, stages, steps)


def large_job(store: JobStore) -> str:
    """With 500 photos and 200 chunks; returns its id."""
    job = job_row(BEGUN + timedelta(days=1), "running")
    job["image_urls"] = [
        f"https://photos.example.com/chair/{index:03}.jpg?signature={'x' * 64}" for index in range(500)
    ]
    photo = {"sha256": "a" * 64, "size": 4_000_000, "width": 6000, "height": 4000, "media_type": "image/jpeg"}
    job["photos"] = [
        {**photo, "index": index, "name": f"{index:04}_aaaaaaaa.jpg", "source": ""} for index in range(500)
    ]
    steps = [step_row(job, kind, kind, state="done") for kind in ("ingest", "plan")]
    steps.append(step_row(job, "results", "results", state="blocked"))
    for number in range(200):
        node = NODES[number * len(NODES) // 200]
        steps.append(step_row(job, "chunk", node, state="done" if number < 100 else "blocked", chunk=number % 25))
        if number < 100:
            usage = {"wall_seconds": 10.0, "cpu_seconds": 18.0, "peak_bytes": 400_000_000}
            moments = {"started_at": BEGUN, "finished_at": BEGUN + timedelta(seconds=10)}
            steps[-1] |= {"entry": {"key": "k" * 100, "usage": usage}, "worker": "cpu@host", **moments}
    write(store, [job], [stage_row(job, position) for position in range(len(NODES))], steps)
    return str(job["id"])


def job_row(moment: datetime, status: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "status": status,
        "created_at": moment,
        "updated_at": moment,
        "request_id": uuid.uuid4().hex,
        "pipeline": "default",
        "priority": 5,
        "image_urls": [f"https://photos.example.com/chair/{index:03}.jpg" for index in range(20)],
        "photos": None,
        "settings": {},
        "outputs": ["obj", "glb"],
        "metadata": {"order": 4711},
    }


def stage_row(job: Mapping[str, Any], position: int) -> dict[str, Any]:
    name = NODES[position]
    row = {"job_id": job["id"], "name": name, "node_type": name, "position": position, "uid": name, "chunk_count": 25}
    return row | {"chunked": True, "reads": list(NODES[max(0, position - 1) : position]), "reads_photos": False}


def step_row(job: Mapping[str, Any], kind: str, stage: str, *, state: str, chunk: int = 0) -> dict[str, Any]:
    fixed = {"ingest": 0, "plan": 1, "results": 1_000_000}
    return {
        "id": uuid.uuid4().hex,
        "job_id": job["id"],
        "kind": kind,
        "stage": stage if kind == "chunk" else None,
        "chunk": chunk,
        "queue": "cpu" if kind == "chunk" else "ingest",
        "rank": 9 - job["priority"],
        "queued_at": job["created_at"],
        "position": fixed[kind] if kind in fixed else 2 + NODES.index(stage),
        "state": state,
        "entry": None,
        "worker": None,
        "started_at": None,
        "finished_at": None,
    }


def write(store: JobStore, *rows: list[dict[str, Any]]) -> None:
    with store.database.transaction() as connection:
        for table, made in zip((tables.job, tables.stage, tables.step), rows, strict=True):
            if made:
                connection.execute(sa.insert(table), made)


def milliseconds(client: FlaskClient, path: str) -> float:
    begun = time.perf_counter()
    answer = client.get(path, headers={"X-API-Key": KEY})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return (time.perf_counter() - begun) * 1000


def measure(what: str, client: FlaskClient, path: str, rounds: int, prepare: Callable[[int], None]) -> None:
    """In turn with the yardstick: the machine's speed drifts. The first two rounds compile statements."""
    times, bare = [], []
    for number in range(rounds + 2):
        prepare(number)
        times.append(milliseconds(client, path))
        bare.append(milliseconds(client, "/healthz"))
    median, p95 = statistics.median(times[2:]), statistics.quantiles(times[2:], n=20)[-1]
    print(f"{what:36} median {median:6.2f} ms   p95 {p95:6.2f} ms   /healthz {statistics.median(bare[2:]):5.2f} ms")


def measure_looks(what: str, store: JobStore, rounds: int) -> None:
    statuses: tuple[JobStatus | None, ...] = (None, "completed")
    for status in statuses:
        times = []
        for _ in range(rounds + 2):
            begun = time.perf_counter()
            store.glance(tenant="default", limit=20, status=status)
            times.append((time.perf_counter() - begun) * 1000)
        shown = f"a look at {what} jobs, {status or 'all'}"
        print(f"{shown:36} median {statistics.median(times[2:]):6.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=31)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="job-pages-") as folder:
        settings = load_settings(x_api_key=KEY, data_dir=Path(folder), log_level="WARNING")
        store = open_store(settings)
        client = create_app(settings).test_client()
        fill(store, given.jobs, planned=False)
        measure(f"a page of {given.jobs:,} queued jobs", client, "/api/v1/jobs", given.rounds, lambda _: None)
        measure_looks(f"{given.jobs:,}", store, given.rounds)
        fill(store, given.jobs, planned=True)
        measure(f"and of {given.jobs:,} planned ones", client, "/api/v1/jobs", given.rounds, lambda _: None)
        large = large_job(store)
        path = f"/api/v1/jobs/{large}"
        measure("500 photos, 200 chunks", client, path, given.rounds, lambda number: touch(store, large, number))


def touch(store: JobStore, job_id: str, number: int) -> None:
    """So that the next answer is not the one that was given a moment ago."""
    moment = BEGUN + timedelta(days=2, seconds=number)
    with store.database.transaction() as connection:
        connection.execute(sa.update(tables.job).where(tables.job.c.id == job_id).values(updated_at=moment))


if __name__ == "__main__":
    main()
