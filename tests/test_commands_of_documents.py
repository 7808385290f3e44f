"""Commands that stand on the pages, each run as it stands, by a shell, beside a service with a job that has ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from meshroom_tasks.settings import PROJECT
from tests.deployment import Deployment, deployed, write_photos
from tests.documents import blocks_run_by
from tests.waiting import LONG

pytestmark = pytest.mark.slow

BLOCKS = [
    (page, code)
    for page in (
        "docs/uploads.md",
        "docs/retention.md",
        "docs/tenants.md",
        "docs/webhooks.md",
        "docs/stage-cache.md",
        "docs/pipelines.md",
        "docs/operating.md",
        "docs/troubleshooting.md",
    )
    for code in blocks_run_by(__file__, page)
]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("commands")) as running:
        yield running


@pytest.fixture(scope="module")
def job_id(deployment: Deployment) -> str:
    job_id = deployment.submit()
    deployment.wait(job_id)
    deployment.callback(job_id)
    return job_id


@pytest.fixture
def folder(tmp_path: Path, deployment: Deployment) -> Path:
    (tmp_path / "photos").mkdir()
    for name, shown in zip(sorted(write_photos(tmp_path / "photos", 3)), ("001", "002", "003"), strict=True):
        (tmp_path / "photos" / name).rename(tmp_path / "photos" / f"{shown}.jpg")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "api_key").write_text(deployment.service.api_key)
    (tmp_path / "pipelines").symlink_to(PROJECT / "pipelines")
    return tmp_path


@pytest.fixture
def surroundings(deployment: Deployment) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, **deployment.settings.as_environment(), "PATH": path, "PYTHONPATH": str(PROJECT)}


@pytest.fixture(scope="module")
def upload_id(deployment: Deployment) -> str:
    files = [("file", (name, (deployment.photos / name).read_bytes())) for name in write_photos(deployment.photos, 3)]
    headers = {"X-API-Key": deployment.service.api_key}
    answer = requests.post(f"{deployment.service.url}/api/v1/uploads", files=files, headers=headers, timeout=LONG)
    return str(answer.json()["upload_id"])


@pytest.mark.parametrize(("page", "code"), BLOCKS, ids=[f"{page}-{code[:30].strip()}" for page, code in BLOCKS])
def test_a_block(
    page: str,
    code: str,
    deployment: Deployment,
    job_id: str,
    upload_id: str,
    folder: Path,
    surroundings: dict[str, str],
) -> None:
    """Ids of the page's examples are those of this service's."""
    (delivery,) = deployment.store.deliveries(job_id)
    shown = {r"http://127\.0\.0\.1:8000": deployment.service.url, r"msg_[0-9a-f]{32}": delivery.id}
    if "keys revoke" in code:
        shown[r"(?<=revoke )[0-9a-f]{12}"] = deployment.store.create_key("shop", ["read"])[0].id
    for pattern, mine in shown.items():
        code = re.sub(pattern, mine, code)
    done = subprocess.run(
        ["bash", "-ec", code],
        cwd=folder,
        env={**surroundings, "JOB": job_id, "UPLOAD": upload_id},
        capture_output=True,
        text=True,
        timeout=4 * LONG,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"code":' not in done.stdout, done.stdout
