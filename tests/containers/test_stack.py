"""The compose stack as it is shipped: it comes up, does its work, and outlives the death of each of its services."""

from __future__ import annotations

import io
import time

import pytest
import requests
import trimesh

from .stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

SERVICES = (
    *("web", "worker-ingest", "worker-cpu", "worker-callback", "sweeper", "flower"),
    *("rabbitmq", "postgres", "store"),
)


def computing(job: dict[str, object]) -> bool:
    return any(stage["state"] == "running" for stage in job["stages"])  # type: ignore[attr-defined,index]


def test_a_job_completes_over_http(stack: Stack) -> None:
    job_id = stack.submit(metadata={"order": 42})
    job = stack.wait(job_id)
    assert job["status"] == "completed", job
    (callback,) = stack.heard(job_id)
    assert (callback["status"], callback["metadata"]) == ("completed", {"order": 42})
    assert callback["result_url"].startswith(stack.url), "results come through the web app"
    model = requests.get(next(item["url"] for item in job["results"] if item["name"] == "model.glb"), timeout=30)
    assert len(trimesh.load(io.BytesIO(model.content), file_type="glb", force="mesh").faces) > 1000


def test_jobs_outlive_the_death_of_every_service(stack: Stack) -> None:
    jobs: list[str] = []
    for number, service in enumerate(SERVICES):
        jobs.append(stack.submit(without=number))
        alive = stack.wait(jobs[-1], until=computing)
        stack.kill(service)
        assert alive["status"] in ("running", "completed"), alive
        time.sleep(2)  # A death is longer than the blink of an eye.
        stack.up("--no-build")
    ended = {job_id: stack.wait(job_id) for job_id in jobs}
    assert {job["status"] for job in ended.values()} == {"completed"}, ended
    assert [len(stack.heard(job_id)) for job_id in jobs] == [1] * len(jobs)


def test_a_process_that_dies_is_started_again(stack: Stack) -> None:
    """`docker compose kill` counts as the operator's will, which restart policies heed; a crash does not."""
    before = stack.containers()["worker-cpu"]
    stack.compose(
        *("exec", "-T", "worker-cpu", "python", "-c"),
        "import os, pathlib; os.kill(int(pathlib.Path('/proc/1/task/1/children').read_text().split()[0]), 9)",
    )
    deadline = time.monotonic() + 300
    while True:
        now = stack.containers()["worker-cpu"]
        if now["RestartCount"] > before["RestartCount"] and now["State"].get("Health", {}).get("Status") == "healthy":
            break
        assert time.monotonic() < deadline, now["State"]
        time.sleep(1)


def test_workers_scale(stack: Stack) -> None:
    stack.up("--no-build", "--scale", "worker-cpu=3")
    headers = {"X-API-Key": stack.secret("x_api_key")}
    deadline = time.monotonic() + 120
    while True:
        found = requests.get(f"{stack.url}/api/v1/workers", headers=headers, timeout=30).json()["data"]
        names = {
            worker["name"] for worker in found if worker["name"].startswith("cpu@") and worker["state"] == "running"
        }
        if len(names) >= 3:
            break
        assert time.monotonic() < deadline, found
        time.sleep(1)
    job = stack.wait(stack.submit(settings={"FeatureExtraction": {"describerPreset": "low"}}))
    assert job["status"] == "completed", job
    stack.up("--no-build", "--scale", "worker-cpu=1")


def test_a_stop_gives_the_running_step_back(stack: Stack) -> None:
    job_id = stack.submit(settings={"FeatureExtraction": {"describerPreset": "medium"}}, without=2)
    stack.wait(job_id, until=computing)
    stack.compose("stop", "worker-cpu")
    log = stack.compose("logs", "--no-color", "--tail", "200", "worker-cpu")
    assert stack.containers()["worker-cpu"]["State"]["ExitCode"] == 0, log
    stack.up("--no-build")
    job = stack.wait(job_id)
    assert job["status"] == "completed", job
    attempts = [chunk["attempts"] for stage in job["stages"] for chunk in stage["chunks"]]
    assert max(attempts) <= 1, "what is given back is no attempt"
