"""Whole jobs with their objects in S3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.deployment import Deployment, deployed
from tests.e2e import test_uploads as uploads
from tests.servers.seaweedfs import SeaweedFS

CLIENTS = f"clients-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def on_s3(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    bucket = f"e2e-{uuid.uuid4().hex}"
    settings = seaweedfs.settings(f"{bucket}/service", image_buckets=(CLIENTS,))
    with deployed(tmp_path_factory.mktemp("s3"), **settings) as deployment:
        yield deployment


@pytest.mark.slow
def test_photos_in_mesh_and_callback_out(on_s3: Deployment, seaweedfs: SeaweedFS) -> None:
    urls = on_s3.photo_urls()
    job_id = on_s3.submit(urls)
    job = on_s3.wait(job_id)
    assert job["status"] == "completed", job
    callback = on_s3.callback(job_id)
    assert callback["result_url"] == f"{on_s3.service.url}/results/{job_id}/texturedMesh.obj"

    answer = requests.get(callback["result_url"], timeout=60)
    assert [hop.status_code for hop in answer.history] == [307]
    assert answer.url.startswith(seaweedfs.endpoint)
    assert answer.text.count("\nf ") >= 12
    for item in job["results"]:
        assert len(requests.get(item["url"], timeout=60).content) == item["size"]
    assert not (on_s3.settings.data_dir / "storage").exists(), "nothing is kept beside the bucket"

    before = len(on_s3.ledger())
    again = on_s3.wait(on_s3.submit(urls))
    assert again["status"] == "completed"
    assert len(on_s3.ledger()) == before, "the stage cache is in the bucket too"


@pytest.mark.slow
def test_uploaded_photos(on_s3: Deployment, seaweedfs: SeaweedFS) -> None:
    files = uploads.photos(on_s3, 5)
    announced = uploads.begin(on_s3, files)
    assert all(file["send"]["url"].startswith(seaweedfs.endpoint) for file in announced["files"])
    uploads.send(on_s3, announced, files)
    job = uploads.completes(on_s3, [announced["url"]])
    assert job["image_count"] == 4
    archive = {"chair.zip": uploads.zipped(files)}
    announced = uploads.begin(on_s3, archive)
    uploads.send(on_s3, announced, archive)
    before = len(on_s3.ledger())
    assert uploads.completes(on_s3, [announced["url"]])["image_count"] == 4
    assert len(on_s3.ledger()) == before, "the same photos: all of it was in the stage cache"


@pytest.mark.slow
def test_the_example_of_the_page(on_s3: Deployment, tmp_path: Path) -> None:
    assert on_s3.wait(uploads.example_of_the_page(on_s3, tmp_path, 8))["status"] == "completed"


@pytest.mark.slow
def test_photos_of_a_bucket(on_s3: Deployment, seaweedfs: SeaweedFS) -> None:
    client = seaweedfs.client()
    client.create_bucket(Bucket=CLIENTS)
    for name, body in uploads.photos(on_s3, 6).items():
        client.put_object(Bucket=CLIENTS, Key=f"chairs/oak/{name}", Body=body)
    job = uploads.completes(on_s3, [f"s3://{CLIENTS}/chairs/oak/"])
    assert job["image_count"] == 4


@pytest.mark.slow
def test_the_engine_does_not_see_the_keys(on_s3: Deployment, seaweedfs: SeaweedFS) -> None:
    on_s3.script({"stages": [{"node_type": "CameraInit", "hang": True}]})
    job_id = on_s3.submit(on_s3.photo_urls(seed=7))
    on_s3.computing("CameraInit")
    worker = on_s3.worker().process
    assert worker is not None
    secret = seaweedfs.owner[1]
    assert secret in _environment(worker.pid), "the workers are given the keys"
    processes = on_s3.stage_processes()
    assert any("PYTHONPATH" in _environment(process.pid) for process in processes)
    for process in processes:
        assert secret not in _environment(process.pid)
        assert seaweedfs.owner[0] not in _environment(process.pid)
    cancelled = requests.post(
        f"{on_s3.service.url}/api/v1/jobs/{job_id}/cancel", headers={"X-API-Key": on_s3.service.api_key}, timeout=60
    )
    assert cancelled.ok
    assert on_s3.wait(job_id)["status"] == "cancelled"
    on_s3.script({})


@pytest.mark.slow
def test_no_key_and_no_signature_in_any_log(on_s3: Deployment, seaweedfs: SeaweedFS) -> None:
    for path in (on_s3.settings.data_dir / "logs").glob("*.log"):
        content = path.read_text(errors="replace")
        for hidden in (seaweedfs.owner[1], "X-Amz-Signature", "x-amz-signature"):
            assert hidden not in content, path.name


def _environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text(errors="replace")
