"""What jobs share, what they find lost, and what they wait for: through real workers, with the test engine."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

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
