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
from tests.waiting import LONG, eventually

LEASE = 5.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("faults")
    script = {"block_sizes": {"DepthMap": 2}, "stages": [{"node_type": "DepthMap", "until": str(folder / "gate")}]}
    with deployed(folder, script=script, lease_seconds=LEASE) as deployment:
        yield deployment


def kill_worker(deployment: Deployment, engine: psutil.Process) -> None:
    worker = deployment.worker().process
    assert worker is not None
    worker.kill()
    eventually(lambda: not deployment.stage_processes())


def kill_pool_child(deployment: Deployment, engine: psutil.Process) -> None:
    _warden, _fork_server, pool_child = engine.parents()[:3]
    pool_child.kill()


def kill_warden(deployment: Deployment, engine: psutil.Process) -> None:
    warden = engine.parents()[0]
    warden.kill()


def kill_engine(deployment: Deployment, engine: psutil.Process) -> None:
    engine.kill()


@pytest.mark.parametrize("kill", [kill_worker, kill_pool_child, kill_engine, kill_warden])
def test_kill_in_the_middle_of_depth_map(running: Deployment, kill) -> None:  # type: ignore[no-untyped-def]
    before = len(running.ledger())
    seed = kill_seed(kill.__name__)
    running.close_gate()
    job_id = running.submit(running.photo_urls(4, seed=seed))
    victim = psutil.Process(running.computing("DepthMap", 2)[0].pid)
    kill(running, victim)
    victim.wait(LONG)  # Else it could end as it should, and leave it to chance whether anybody hears of it.
    running.open_gate()
    job = running.wait(job_id)
    assert job["status"] == "completed", job["error"]
    runs = running.ledger()[before:]
    assert overlapping(runs) == []
    finished = Counter((run.node_type, run.chunk) for run in runs if run.exit == 0)
    assert set(finished.values()) == {1}, "no finished chunk is computed again"
    assert running.callback(job_id)["status"] == "completed"
    eventually(lambda: not running.stage_processes())
    eventually(lambda: not list(running.settings.workspace.glob("*/*/runs/*")))


def kill_seed(name: str) -> int:
    return sum(name.encode()) * 1000


def test_a_restart_of_everything_loses_no_job(tmp_path: Path) -> None:
    script = {"stages": [{"node_type": "Meshing", "sleep": 1}]}
    with deployed(tmp_path, script=script, lease_seconds=LEASE) as deployment:
        ids = [deployment.submit(deployment.photo_urls(3, seed=number)) for number in range(20)]
        deployment.wait(ids[0], until=stages_running("Meshing"))
        for child in deployment.service.children:
            assert child.process is not None
            psutil.Process(child.process.pid).send_signal(signal.SIGKILL)
        deployment.service.stop()
        deployment.start()
        assert [deployment.wait(job_id, seconds=600)["status"] for job_id in ids] == ["completed"] * 20
        runs = deployment.ledger()
        assert overlapping(runs) == []
        finished = Counter((run.uid, run.chunk) for run in runs if run.exit == 0)
        # A chunk that had ended when its worker died before it could say so runs once more; the others do not.
        assert sum(count > 1 for count in finished.values()) <= 2
        assert [deployment.callback(job_id)["status"] for job_id in ids] == ["completed"] * 20
        assert not deployment.more_callbacks(ids)
