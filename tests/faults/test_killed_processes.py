"""What a `kill -9` of each kind of process costs: a retry, and nothing else."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.deployment import Deployment, deployed, stages_running
from tests.scripted_engine import overlapping

SLOW_DEPTH_MAP = {"block_sizes": {"DepthMap": 2}, "stages": [{"node_type": "DepthMap", "sleep": 3}]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("faults"), script=SLOW_DEPTH_MAP) as deployment:
        yield deployment


def stage_worker(deployment: Deployment) -> psutil.Process:
    child = next(child for child in deployment.service.children if child.name == "worker-stages")
    assert child.process is not None
    return psutil.Process(child.process.pid)


def wardens_of_depth_map(worker: psutil.Process) -> list[psutil.Process]:
    return [process for process in worker.children(recursive=True) if "DepthMap_1" in " ".join(process.cmdline())]


def kill_worker(deployment: Deployment) -> None:
    stage_worker(deployment).kill()


def kill_pool_child(deployment: Deployment) -> None:
    chunk = wardens_of_depth_map(stage_worker(deployment))[0]
    worker = stage_worker(deployment)
    pool_child = next(parent for parent in chunk.parents() if parent.ppid() == worker.pid)
    pool_child.kill()


def kill_engine(deployment: Deployment) -> None:
    wardens_of_depth_map(stage_worker(deployment))[-1].kill()


def kill_warden(deployment: Deployment) -> None:
    wardens_of_depth_map(stage_worker(deployment))[0].kill()


@pytest.mark.parametrize("kill", [kill_worker, kill_pool_child, kill_engine, kill_warden])
def test_kill_in_the_middle_of_depth_map(running: Deployment, kill) -> None:  # type: ignore[no-untyped-def]
    before = len(running.ledger())
    seed = kill_seed(kill.__name__)
    job_id = running.submit(running.photo_urls(4, seed=seed))
    running.wait(job_id, until=stages_running("DepthMap"))
    kill(running)
    job = running.wait(job_id, seconds=120)
    assert job["status"] == "completed", job["error"]
    runs = running.ledger()[before:]
    assert overlapping(runs) == []
    finished = Counter((run.node_type, run.chunk) for run in runs if run.exit == 0)
    assert set(finished.values()) == {1}, "no finished chunk is computed again"
    assert running.receiver.wait(20)["job_id"] == job_id
    assert not [
        process
        for process in running.engine_processes()
        if str(running.settings.workspace) in " ".join(process.cmdline())
    ]


def kill_seed(name: str) -> int:
    return sum(name.encode()) * 1000


def test_a_restart_of_everything_loses_no_job(tmp_path: Path) -> None:
    script = {"stages": [{"node_type": "Meshing", "sleep": 1}]}
    with deployed(tmp_path, script=script) as deployment:
        ids = [deployment.submit(deployment.photo_urls(3, seed=number)) for number in range(20)]
        deployment.wait(ids[0], until=stages_running("Meshing"))
        for child in deployment.service.children:
            assert child.process is not None
            psutil.Process(child.process.pid).send_signal(signal.SIGKILL)
        deployment.service.stop()
        deployment.start()
        assert [deployment.wait(job_id, seconds=240)["status"] for job_id in ids] == ["completed"] * 20
        runs = deployment.ledger()
        assert overlapping(runs) == []
        finished = Counter((run.uid, run.chunk) for run in runs if run.exit == 0)
        # A chunk that had ended when its worker died before it could say so runs once more; the others do not.
        assert sum(count > 1 for count in finished.values()) <= 2
        assert Counter(deployment.receiver.wait(20)["job_id"] for _ in ids) == Counter(ids)
