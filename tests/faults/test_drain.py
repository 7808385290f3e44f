"""SIGTERM to a worker: it takes nothing new, and what runs is finished within the grace, or given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from meshroom_tasks.child_processes import Child
from tests.deployment import Deployment, deployed
from tests.scripted_engine import Run, overlapping
from tests.waiting import LONG, eventually

FAKE_NVML = Path(__file__).parents[1] / "fake_nvml"
GRACE = 2.0


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Its grace is so long that whoever waited for its end would be noticed."""
    folder = tmp_path_factory.mktemp("patient")
    with deployed(folder, drain_seconds=10 * LONG, worker_seen_seconds=0.3) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """On two GPUs. The lease is long: only giving a chunk back can pass it on in time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(FAKE_NVML))
        patched.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(FAKE_NVML), os.environ.get("PYTHONPATH")))))
        patched.setenv("FAKE_NVML", "2")
        patched.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        patched.delitem(sys.modules, "pynvml", raising=False)
        folder = tmp_path_factory.mktemp("impatient")
        with deployed(folder, drain_seconds=GRACE, lease_seconds=120, cpu_workers=1) as deployment:
            sys.modules.pop("pynvml")
            yield deployment


def told_to_stop(child: Child) -> subprocess.Popen[bytes]:
    assert child.process is not None
    child.process.send_signal(signal.SIGTERM)
    return child.process


def depth_maps(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.node_type == "DepthMap"]


def state_of(deployment: Deployment, name: str) -> str:
    """Of the worker that this name begins; "" when it has no row."""
    return next((view.state for view in deployment.store.workers() if view.name.startswith(name)), "")


def attempts(job: dict[str, object]) -> set[int]:
    return {chunk["attempts"] for stage in job["stages"] for chunk in stage["chunks"]}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_ends_within_the_grace_is_finished_once_and_nothing_new_begins(patient: Deployment) -> None:
    patient.script({"block_sizes": {"DepthMap": 1}, "stages": [{"node_type": "DepthMap", "until": str(patient.gate)}]})
    before = len(patient.ledger())
    job_id = patient.submit(patient.photo_urls(4, seed=1))
    patient.computing("DepthMap", 2)
    child = patient.worker()
    process = told_to_stop(child)
    eventually(lambda: not child.ready_file.exists())  # type: ignore[union-attr]
    eventually(lambda: state_of(patient, "cpu@") == "stopping")
    eventually(lambda: "told to stop" in child.log.read_text())  # type: ignore[union-attr]
    patient.open_gate()
    assert process.wait(LONG) == 0
    assert [run.exit for run in depth_maps(patient.ledger()[before:])] == [0, 0], (
        "both were finished, and no third was begun"
    )
    assert state_of(patient, "cpu@") == ""
    job = patient.wait(job_id)
    assert job["status"] == "completed", job["error"]
    assert attempts(job) == {1}
    assert set(Counter((run.node_type, run.chunk) for run in patient.ledger()[before:]).values()) == {1}


@pytest.mark.slow
def test_a_drained_worker_stays_and_takes_tasks_again_when_asked(patient: Deployment) -> None:
    patient.script({})
    before = len(patient.ledger())
    worker = patient.worker()
    ready = worker.ready_file
    assert ready is not None
    eventually(lambda: len(patient.store.workers()) == 2 and ready.exists())
    name = next(view.name for view in patient.store.workers() if view.name.startswith("cpu@"))
    patient.store.ask_to_drain(name)
    eventually(lambda: not ready.exists())
    job_id = patient.submit(patient.photo_urls(4, seed=2))
    patient.wait(job_id, until=lambda job: len(job["stages"]) > 3)  # Planned, by another worker.
    time.sleep(2)
    assert len(patient.ledger()) == before
    assert worker.process.poll() is None  # type: ignore[union-attr]
    patient.store.ask_to_drain(name, drain=False)
    assert patient.wait(job_id)["status"] == "completed"
    assert ready.exists()


@pytest.mark.slow
def test_what_does_not_is_given_back_and_another_worker_completes_it(impatient: Deployment) -> None:
    impatient.script({"stages": [{"node_type": "DepthMap", "attempts": [1], "hang": True}]})
    before = len(impatient.ledger())
    job_id = impatient.submit(impatient.photo_urls(3, seed=1))
    impatient.computing("DepthMap")
    holder = holder_of_a_gpu(impatient)
    begun = time.monotonic()
    process = told_to_stop(impatient.worker(f"worker-{holder}"))
    eventually(lambda: len(depth_maps(impatient.ledger()[before:])) == 2)
    assert time.monotonic() - begun > GRACE, "it had its grace"
    job = impatient.wait(job_id)
    assert job["status"] == "completed", job["error"]
    assert attempts(job) == {1}, "what was given back does not count"
    (taker,) = {chunk["worker"] for s in job["stages"] if s["node_type"] == "DepthMap" for chunk in s["chunks"]}
    assert {holder, taker.partition("@")[0]} == {"gpu0", "gpu1"}
    runs = impatient.ledger()[before:]
    assert [run.exit == 0 for run in depth_maps(runs)] == [False, True]
    assert overlapping(runs) == []
    process.wait(LONG)


@pytest.mark.slow
def test_an_engine_that_ignores_sigterm_is_gone_all_the_same(impatient: Deployment) -> None:
    stubborn = {"ignore_sigterm": True, "own_session": True, "children": ["plain", "session", "daemon"], "hang": True}
    impatient.script({"stages": [{"node_type": "DepthMap", "attempts": [1], **stubborn}]})
    job_id = impatient.submit(impatient.photo_urls(4, seed=2))
    impatient.computing("DepthMap")
    worker = impatient.worker(f"worker-{holder_of_a_gpu(impatient)}")
    parent = worker.process
    assert parent is not None
    eventually(lambda: sum("time.sleep" in " ".join(words(process)) for process in below(parent.pid)) == 3)
    engine = below(parent.pid)
    told_to_stop(worker)
    eventually(lambda: not any(is_alive(process) for process in engine))
    job = impatient.wait(job_id)
    assert job["status"] == "completed", job["error"]
    assert attempts(job) == {1}


def holder_of_a_gpu(deployment: Deployment) -> str:
    """The node that computes a chunk: `gpu0`."""
    running = (view.name for view in deployment.store.workers() if view.running and view.name.startswith("gpu"))
    return next(running).partition("@")[0]


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def below(pid: int) -> list[psutil.Process]:
    """All processes under the pool processes of a worker: warden, engine, and what that has started."""
    return [deep for pool in psutil.Process(pid).children() for deep in pool.children(recursive=True)]
