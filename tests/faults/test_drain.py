"""SIGTERM to a worker: it takes nothing new, and what runs is finished within the grace, or given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from meshroom_tasks.child_processes import Child
from tests.deployment import Deployment, deployed
from tests.scripted_engine import Run, overlapping
from tests.waiting import LONG, eventually

FAKE_NVML = Path(__file__).parents[1] / "fake_nvml"


def told_to_stop(child: Child) -> subprocess.Popen[bytes]:
    assert child.process is not None
    child.process.send_signal(signal.SIGTERM)
    return child.process


def depth_maps(deployment: Deployment) -> list[Run]:
    return [run for run in deployment.ledger() if run.node_type == "DepthMap"]


def state_of(deployment: Deployment, name: str) -> str:
    """Of the worker that this name begins; "" when it has no row."""
    return next((view.state for view in deployment.store.workers() if view.name.startswith(name)), "")


def attempts(job: dict[str, object]) -> set[int]:
    return {chunk["attempts"] for stage in job["stages"] for chunk in stage["chunks"]}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_what_ends_within_the_grace_is_finished_once_and_nothing_new_begins(tmp_path: Path) -> None:
    script = {"block_sizes": {"DepthMap": 1}, "stages": [{"node_type": "DepthMap", "until": str(tmp_path / "gate")}]}
    grace = 10 * LONG  # Whoever waited for its end would be noticed.
    with deployed(tmp_path, script=script, drain_seconds=grace) as deployment:
        job_id = deployment.submit(deployment.photo_urls(4))
        deployment.computing("DepthMap", 2)
        child = deployment.worker()
        process = told_to_stop(child)
        eventually(lambda: not child.ready_file.exists())  # type: ignore[union-attr]
        eventually(lambda: state_of(deployment, "cpu@") == "stopping")
        eventually(lambda: "told to stop" in child.log.read_text())  # type: ignore[union-attr]
        deployment.open_gate()
        assert process.wait(LONG) == 0
        assert [run.exit for run in depth_maps(deployment)] == [0, 0], "both were finished, and no third was begun"
        assert state_of(deployment, "cpu@") == ""
        job = deployment.wait(job_id)
        assert job["status"] == "completed", job["error"]
        assert attempts(job) == {1}
        assert set(Counter((run.node_type, run.chunk) for run in deployment.ledger()).values()) == {1}


@pytest.mark.slow
def test_what_does_not_is_given_back_and_another_worker_completes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(FAKE_NVML))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(FAKE_NVML), os.environ.get("PYTHONPATH")))))
    monkeypatch.setenv("FAKE_NVML", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    script = {"stages": [{"node_type": "DepthMap", "attempts": [1], "hang": True}]}
    # The lease is long: only giving it back can pass the chunk on in time.
    with deployed(tmp_path, script=script, drain_seconds=2, lease_seconds=120, cpu_workers=1) as deployment:
        sys.modules.pop("pynvml")
        job_id = deployment.submit(deployment.photo_urls(3))
        deployment.computing("DepthMap")
        holder = next(view.name for view in deployment.store.workers() if view.running)
        begun = time.monotonic()
        process = told_to_stop(deployment.worker(f"worker-{holder.partition('@')[0]}"))
        eventually(lambda: len(depth_maps(deployment)) == 2)
        assert time.monotonic() - begun > 2, "it had its grace"
        job = deployment.wait(job_id)
        assert job["status"] == "completed", job["error"]
        assert attempts(job) == {1}, "what was given back does not count"
        (taker,) = {chunk["worker"] for s in job["stages"] if s["node_type"] == "DepthMap" for chunk in s["chunks"]}
        assert {holder.partition("@")[0], taker.partition("@")[0]} == {"gpu0", "gpu1"}
        assert [run.exit == 0 for run in depth_maps(deployment)] == [False, True]
        assert overlapping(deployment.ledger()) == []
        process.wait(LONG)


@pytest.mark.slow
def test_an_engine_that_ignores_sigterm_is_gone_all_the_same(tmp_path: Path) -> None:
    stubborn = {"ignore_sigterm": True, "own_session": True, "children": ["plain", "session", "daemon"], "hang": True}
    script = {"stages": [{"node_type": "DepthMap", "attempts": [1], **stubborn}]}
    with deployed(tmp_path, script=script, lease_seconds=120) as deployment:
        job_id = deployment.submit()
        deployment.computing("DepthMap")
        parent = deployment.worker().process
        assert parent is not None
        eventually(lambda: sum("time.sleep" in " ".join(words(process)) for process in below(parent.pid)) == 3)
        engine = below(parent.pid)
        told_to_stop(deployment.worker())
        eventually(lambda: not any(is_alive(process) for process in engine))
        job = deployment.wait(job_id)
        assert job["status"] == "completed", job["error"]
        assert attempts(job) == {1}


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


@pytest.mark.slow
def test_a_drained_worker_stays_and_takes_tasks_again_when_asked(tmp_path: Path) -> None:
    with deployed(tmp_path, worker_seen_seconds=0.3) as deployment:
        ready = deployment.worker().ready_file
        assert ready is not None
        eventually(lambda: len(deployment.store.workers()) == 2)
        name = next(view.name for view in deployment.store.workers() if view.name.startswith("cpu@"))
        deployment.store.ask_to_drain(name)
        eventually(lambda: not ready.exists())
        job_id = deployment.submit()
        deployment.wait(job_id, until=lambda job: len(job["stages"]) > 3)  # Planned, by another worker.
        time.sleep(2)
        assert deployment.ledger() == []
        assert deployment.worker().process.poll() is None  # type: ignore[union-attr]
        deployment.store.ask_to_drain(name, drain=False)
        assert deployment.wait(job_id)["status"] == "completed"
        assert ready.exists()
