"""Whole jobs over HTTP, through real workers, with the test engine."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import requests

from tests.deployment import Deployment
from tests.scripted_engine import overlapping
from tests.waiting import eventually

NODE_TYPES = [
    "CameraInit",
    "FeatureExtraction",
    "ImageMatching",
    "FeatureMatching",
    "StructureFromMotion",
    "PrepareDenseScene",
    "DepthMap",
    "DepthMapFilter",
    "Meshing",
    "MeshFiltering",
    "Texturing",
]


def test_photos_in_mesh_and_callback_out(deployment: Deployment, tmp_path: Path) -> None:
    metadata = {"order": 42, "names": ["ä", None], "nested": {"z": 1, "a": 2}}
    job_id = deployment.submit(metadata=metadata)
    job = deployment.wait(job_id)
    assert job["status"] == "completed", job
    assert job["progress"] == 1.0
    stages = [stage["node_type"] for stage in job["stages"]]
    assert stages == ["ingest", "plan", *NODE_TYPES, "results"]

    callback = deployment.callback(job_id)
    assert (callback["job_id"], callback["status"], callback["metadata"]) == (job_id, "completed", metadata)
    assert list(callback["metadata"]) == list(metadata)
    assert f"results/{job_id}/texturedMesh.obj" in callback["result_url"]

    without_key = requests.get(callback["result_url"], timeout=60)
    assert without_key.status_code == 200
    assert without_key.text.count("\nf ") >= 12
    names = {item["name"] for item in job["results"]}
    assert {"texturedMesh.obj", "texturedMesh.mtl", "model.glb", "preview.png", "report.json", "cameras.sfm"} <= names
    for item in job["results"]:
        content = requests.get(item["url"], timeout=60, headers={"X-API-Key": deployment.service.api_key}).content
        assert len(content) == item["size"]

    def attempts() -> list[int]:  # Recorded when the receiver has answered.
        found = requests.get(
            f"{deployment.service.url}/api/v1/jobs/{job_id}/deliveries",
            headers={"X-API-Key": deployment.service.api_key},
            timeout=60,
        ).json()["data"]
        return [len(delivery["attempts"]) for delivery in found]

    eventually(lambda: attempts() != [0])
    assert attempts() == [1]


def test_a_second_job_with_the_same_photos_computes_nothing(deployment: Deployment) -> None:
    urls = deployment.photo_urls(seed=2)
    assert deployment.wait(deployment.submit(urls))["status"] == "completed"
    before = len(deployment.ledger())
    job = deployment.wait(deployment.submit(urls))
    assert job["status"] == "completed"
    assert len(deployment.ledger()) == before
    assert all(stage["cached"] for stage in job["stages"] if stage["node_type"] in NODE_TYPES)


def test_other_formats_of_a_finished_job_compute_no_stage(deployment: Deployment) -> None:
    urls = deployment.photo_urls(seed=2)
    assert deployment.wait(deployment.submit(urls))["status"] == "completed"
    before = len(deployment.ledger())
    job = deployment.wait(deployment.submit(urls, outputs=["usdz", "ply"]))
    assert job["status"] == "completed", job
    assert len(deployment.ledger()) == before
    found = {item["name"]: item for item in job["results"]}
    assert found.keys() == {"model.usdz", "model.ply", "preview.png", "report.json", "cameras.sfm"}
    for name, media_type, start in (
        ("model.usdz", "model/vnd.usdz+zip", b"PK\x03\x04"),
        ("model.ply", "model/ply", b"ply\n"),
    ):
        assert found[name]["media_type"] == media_type
        answer = requests.get(found[name]["url"], timeout=60, headers={"X-API-Key": deployment.service.api_key})
        assert answer.headers["Content-Type"] == media_type
        assert answer.content.startswith(start)
        assert len(answer.content) == found[name]["size"]


def test_a_changed_setting_computes_from_the_stage_that_it_touches(deployment: Deployment) -> None:
    urls = deployment.photo_urls(seed=3)
    assert deployment.wait(deployment.submit(urls))["status"] == "completed"
    before = len(deployment.ledger())
    job = deployment.wait(deployment.submit(urls, settings={"MeshFiltering": {"keepLargestMeshOnly": True}}))
    assert job["status"] == "completed", job["error"]
    assert [run.node_type for run in deployment.ledger()[before:]] == ["MeshFiltering", "Texturing"]


def test_a_worker_with_an_empty_workspace_takes_any_chunk(deployment: Deployment) -> None:
    deployment.script({"stages": [{"node_type": "Meshing", "until": str(deployment.gate)}]})
    job_id = deployment.submit(deployment.photo_urls(seed=6))
    deployment.computing("Meshing")
    [used] = [path.parents[2] for path in deployment.settings.workspace.glob("*/*/runs/*/p.mg")]
    for kept in ("entries", "photos"):
        shutil.rmtree(used / kept)
    before = len(deployment.ledger())
    deployment.open_gate()
    job = deployment.wait(job_id)
    assert job["status"] == "completed", job["error"]
    assert [run.node_type for run in deployment.ledger()[before:]] == ["MeshFiltering", "Texturing"]


def test_a_failing_stage_says_what_where_and_how_it_ended(deployment: Deployment) -> None:
    failure = {"exit": 1, "return_code": 1, "lines": ["[error] No valid tracks."]}
    deployment.script({"stages": [{"node_type": "StructureFromMotion", "fail": failure}]})
    job_id = deployment.submit(deployment.photo_urls(seed=4))
    job = deployment.wait(job_id)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "photos_do_not_overlap"
    assert job["error"]["stage"] == "StructureFromMotion_1"
    assert any("No valid tracks." in line for line in job["error"]["log_tail"])
    callback = deployment.callback(job_id)
    assert (callback["status"], callback["error_code"]) == ("failed", "photos_do_not_overlap")
    assert callback["error"] == job["error"]["message"]

    log = requests.get(
        f"{deployment.service.url}/api/v1/jobs/{job_id}/logs/StructureFromMotion_1",
        headers={"X-API-Key": deployment.service.api_key},
        timeout=60,
    ).text
    assert "No valid tracks." in log

    deployment.script({})
    before = len(deployment.ledger())
    requests.post(
        f"{deployment.service.url}/api/v1/jobs/{job_id}/requeue",
        headers={"X-API-Key": deployment.service.api_key},
        json={},
        timeout=60,
    ).raise_for_status()
    assert deployment.wait(job_id)["status"] == "completed"
    ran = [run.node_type for run in deployment.ledger()[before:]]
    assert ran[0] == "StructureFromMotion", "what had finished before is kept"
    assert deployment.callback(job_id)["status"] == "completed"


def test_a_cancelled_job_leaves_no_process(deployment: Deployment) -> None:
    hang = {"node_type": "DepthMap", "hang": True, "ignore_sigterm": True, "children": ["session", "daemon"]}
    deployment.script({"stages": [hang]})
    job_id = deployment.submit(deployment.photo_urls(seed=5))
    deployment.computing("DepthMap")
    reply = requests.post(
        f"{deployment.service.url}/api/v1/jobs/{job_id}/cancel",
        headers={"X-API-Key": deployment.service.api_key},
        timeout=60,
    )
    assert reply.ok
    job = deployment.wait(job_id)
    assert job["status"] == "cancelled"
    assert not deployment.stage_processes()
    assert deployment.callback(job_id)["error_code"] == "job_cancelled"


@pytest.mark.slow
def test_twenty_jobs_complete_once_each(deployment: Deployment) -> None:
    before = len(deployment.ledger())
    ids = [deployment.submit(deployment.photo_urls(3, seed=100 + number)) for number in range(20)]
    assert [deployment.wait(job_id, seconds=600)["status"] for job_id in ids] == ["completed"] * 20
    runs = deployment.ledger()[before:]
    assert overlapping(runs) == []
    computed = Counter((run.uid, run.chunk) for run in runs)
    assert set(computed.values()) == {1}
    assert len(computed) == 20 * len(NODE_TYPES)
    assert [deployment.callback(job_id)["status"] for job_id in ids] == ["completed"] * 20
    assert not deployment.more_callbacks(ids)
