"""From photos on a disk to files on a disk, with a running service: as a library, and in the terminal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.client import Client, JobNotCompleted, RequestProblem
from meshroom_tasks.ports import free_port
from tests import scripted_engine
from tests.deployment import Deployment, deployed, processes_mentioning, write_photos
from tests.servers.seaweedfs import SeaweedFS
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("client")) as deployment:
        yield deployment


@pytest.fixture
def deployment(running: Deployment) -> Deployment:
    running.script({})
    running.close_gate()
    return running


@pytest.fixture
def client(deployment: Deployment) -> Client:
    return Client(deployment.service.url, deployment.service.api_key)


def folder_of_photos(folder: Path, seed: int) -> Path:
    folder.mkdir()
    write_photos(folder, 4, seed)
    return folder


def terminal(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "meshroom_tasks", *(str(argument) for argument in arguments)]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def of(deployment: Deployment) -> dict[str, str]:
    return {"MESHROOM_TASKS_URL": deployment.service.url, "X_API_KEY": deployment.service.api_key}


def test_photos_in_model_out(client: Client, tmp_path: Path) -> None:
    photos = folder_of_photos(tmp_path / "photos", 1)
    sent: list[int] = []
    job_id = client.reconstruct([photos], sent=sent.append, metadata={"order": 42}, pipeline="draft")
    job = client.wait(job_id, every=0.2)
    assert (job.metadata, job.pipeline, job.image_count) == ({"order": 42}, "draft", 4)
    assert sum(sent) == sum(path.stat().st_size for path in photos.iterdir())
    received: list[int] = []
    paths = client.download(job, tmp_path / "out", received=received.append)
    assert {path.name for path in paths} >= {"texturedMesh.obj", "model.glb", "preview.png"}
    assert sum(received) == sum(path.stat().st_size for path in paths)
    assert next(client.jobs(limit=1)).id == job_id
    assert [found.id for found in client.jobs(status="completed", limit=1)] == [job_id]


def test_what_the_service_refuses(client: Client, tmp_path: Path) -> None:
    photos = folder_of_photos(tmp_path / "photos", 2)
    with pytest.raises(RequestProblem) as caught:
        client.reconstruct([photos], settings={"Texturing": {"textureSidee": 1}})
    assert caught.value.status == 422
    assert "textureSide" in str(caught.value)


def test_a_job_is_cancelled_while_its_log_is_followed(client: Client, deployment: Deployment, tmp_path: Path) -> None:
    deployment.script({"stages": [{"node_type": "DepthMap", "hang": True}]})
    job_id = client.reconstruct([folder_of_photos(tmp_path / "photos", 3)])
    deployment.computing("DepthMap")
    eventually(lambda: client.log(job_id, "DepthMap").__next__())
    assert terminal("cancel", job_id, **of(deployment)).stdout.startswith(job_id)
    with pytest.raises(JobNotCompleted) as caught:
        client.wait(job_id, every=0.2)
    assert caught.value.status == "cancelled"
    assert b"attempt 1" in b"".join(client.log(job_id, "DepthMap"))
    assert terminal("watch", job_id, **of(deployment)).returncode == 3


def test_in_the_terminal(deployment: Deployment, tmp_path: Path) -> None:
    photos, out = folder_of_photos(tmp_path / "photos", 4), tmp_path / "out"
    more = ("--pipeline", "draft", "--set", "Texturing.textureSide=2048", "--out", out)
    done = terminal("submit", photos, *more, **of(deployment))
    assert done.returncode == 0, done.stderr
    job_id, *paths = done.stdout.splitlines()
    assert {Path(path).name for path in paths} >= {"model.glb", "preview.png"}
    assert all(Path(path).is_file() for path in paths)
    assert "Texturing              done" in done.stderr
    listed = json.loads(terminal("jobs", "--json", **of(deployment)).stdout)
    assert listed[0]["id"] == job_id
    assert job_id in terminal("jobs", **of(deployment)).stdout
    assert "--- attempt 1" in terminal("logs", job_id, "Meshing", **of(deployment)).stdout
    again = terminal("download", job_id, "--out", tmp_path / "again", **of(deployment))
    assert len(again.stdout.splitlines()) == len(paths)


def test_a_job_that_fails_says_why(deployment: Deployment, tmp_path: Path) -> None:
    deployment.script(
        {"stages": [{"node_type": "Meshing", "fail": {"exit": 1, "lines": ["Invalid setting: maxPoints"]}}]}
    )
    photos = folder_of_photos(tmp_path / "photos", 5)
    failed = terminal("submit", photos, "--wait", **of(deployment))
    assert failed.returncode == 1
    assert "failed in Meshing" in failed.stderr
    assert "    Invalid setting: maxPoints" in failed.stderr


def test_exit_codes(deployment: Deployment, tmp_path: Path) -> None:
    photos = folder_of_photos(tmp_path / "photos", 6)
    nobody = {**of(deployment), "MESHROOM_TASKS_URL": f"http://127.0.0.1:{free_port()}"}
    assert terminal("submit", photos, "--set", "nonsense", **of(deployment)).returncode == 2
    assert terminal("submit", tmp_path / "gone", **of(deployment)).returncode == 1
    wrong = terminal("jobs", **{**of(deployment), "X_API_KEY": "wrong"})
    assert (wrong.returncode, "Error:" in wrong.stderr) == (1, True)
    away = terminal("jobs", **nobody)
    assert (away.returncode, "is it running?" in away.stderr) == (4, True)


def test_uploads_go_to_the_object_store(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    with deployed(tmp_path / "service", **seaweedfs.settings("client-uploads")) as deployment:
        client = Client(deployment.service.url, deployment.service.api_key)
        job = client.wait(client.reconstruct([folder_of_photos(tmp_path / "photos", 7)]), every=0.2)
        assert {path.name for path in client.download(job, tmp_path / "out")} >= {"model.glb"}


def test_without_any_service(tmp_path: Path) -> None:
    photos, out = folder_of_photos(tmp_path / "photos", 8), tmp_path / "out"
    batch, compute = scripted_engine.commands()
    engine = {"MESHROOM_BATCH": shlex.join(batch), "MESHROOM_COMPUTE": shlex.join(compute)}
    done = terminal("reconstruct", photos, out, **engine)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} >= {"texturedMesh.obj", "model.glb", "preview.png", "report.json"}
    assert not (out / ".meshroom-tasks").exists()
    assert processes_mentioning(str(tmp_path)) == []
