"""What jobs share, what they find lost, and what they wait for: through real workers, with the test engine."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from tests.deployment import Deployment, stages_running
from tests.scripted_engine import overlapping

NOISE = {"node_type": "*", "random": True}


def bundles(deployment: Deployment, node_type: str) -> set[Path]:
    """The stored bundles of a stage, of all jobs."""
    root = deployment.settings.data_dir / "storage" / "cache"
    return {path for path in root.glob(f"*/*/{node_type}/*/*/*") if path.suffix != ".json"}


def test_lost_and_damaged_results_are_computed_again(deployment: Deployment) -> None:
    deployment.script({"stages": [{"node_type": "Meshing", "sleep": 6, "attempts": [1], "random": True}, NOISE]})
    before, known = len(deployment.ledger()), bundles(deployment, "*")
    job_id = deployment.submit(deployment.photo_urls(seed=20))
    deployment.wait(job_id, until=stages_running("Meshing"))
    [scene] = bundles(deployment, "StructureFromMotion") - known
    [dense] = bundles(deployment, "PrepareDenseScene") - known
    scene.write_bytes(scene.read_bytes()[:-1] + b"!")
    dense.unlink()
    [used] = [path.parents[2] for path in deployment.settings.workspace.glob("*/*/runs/*/p.mg")]
    shutil.rmtree(used / "entries")
    job = deployment.wait(job_id)
    assert job["status"] == "completed", job["error"]
    warned = [warning["stage"] for warning in job["warnings"] if warning["code"] == "stored_result_lost"]
    assert warned == ["PrepareDenseScene_1", "StructureFromMotion_1"]
    runs = deployment.ledger()[before:]
    again = {"StructureFromMotion", "PrepareDenseScene", "DepthMap", "DepthMapFilter", "Meshing", "MeshFiltering"}
    times = Counter(run.node_type for run in runs)
    assert {node_type for node_type, count in times.items() if count > 1} == again
    assert times["Texturing"] == 1
    assert overlapping(runs) == []


def test_two_jobs_at_once_compute_each_chunk_once_and_the_second_takes_over(deployment: Deployment) -> None:
    deployment.script({"stages": [{"node_type": "DepthMap", "hang": True, "attempts": [1]}]})
    before, urls = len(deployment.ledger()), deployment.photo_urls(seed=21)
    first = deployment.submit(urls)
    deployment.wait(first, until=stages_running("DepthMap"))
    second = deployment.submit(urls)
    assert (
        deployment.wait(second, until=lambda job: any(first in waiting for waiting in waits(job)))["status"]
        == "running"
    )
    deployment.store.cancel(first)
    job = deployment.wait(second)
    assert job["status"] == "completed", job["error"]
    assert 0 < job["reuse"]["cached"] < job["reuse"]["chunks"] == len(deployment.ledger()[before:]) - 1
    runs = deployment.ledger()[before:]
    assert overlapping(runs) == []
    assert {run.node_type for run in runs if run.attempt > 1} == {"DepthMap"}


def waits(job: dict[str, Any]) -> list[str]:
    return [chunk["waiting"] for stage in job["stages"] for chunk in stage["chunks"] if chunk["waiting"]]


def test_another_photo_is_another_computation(deployment: Deployment) -> None:
    urls = deployment.photo_urls(5, seed=22)
    for count, cached in ((4, 0), (5, 0), (4, 11), (5, 11)):
        job = deployment.wait(deployment.submit(urls[:count]))
        assert (job["status"], job["reuse"]) == ("completed", {"chunks": 11, "cached": cached})
