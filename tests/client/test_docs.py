"""What docs/client.md shows, and README.md of it, is run as it stands, in an empty folder with photos in it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshroom_tasks.settings import PROJECT
from tests import scripted_engine
from tests.deployment import Deployment, deployed, write_photos
from tests.documents import blocks_run_by

pytestmark = pytest.mark.slow

COMMANDS = [block for page in ("docs/client.md", "README.md") for block in blocks_run_by(__file__, page, "sh")]
RESULTS = {"texturedMesh.obj", "model.glb", "preview.png"}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("client-docs")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, deployment: Deployment) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "data").mkdir()
    write_photos(tmp_path / "photos", 4)
    (tmp_path / "data" / "api_key").write_text(deployment.service.api_key)
    return tmp_path


def ran(folder: Path, *command: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name not in ("X_API_KEY", "DATA_DIR")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    surroundings = {**inherited, "PATH": path, "PYTHONPATH": str(PROJECT), **environment}
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", COMMANDS)
def test_commands(block: str, folder: Path, deployment: Deployment) -> None:
    batch, compute = scripted_engine.commands()
    engine = {"MESHROOM_BATCH": shlex.join(batch), "MESHROOM_COMPUTE": shlex.join(compute)}
    ran(folder, "sh", "-ec", block, MESHROOM_TASKS_URL=deployment.service.url, **engine)
    assert {path.name for path in (folder / "model").iterdir()} >= RESULTS


def test_python(folder: Path, deployment: Deployment) -> None:
    (block,) = blocks_run_by(__file__, "docs/client.md", "python")
    assert "http://127.0.0.1:8000" in block
    said = ran(folder, sys.executable, "-c", block.replace("http://127.0.0.1:8000", deployment.service.url))
    assert said.rstrip().splitlines()[-1].startswith("100%")
    assert {path.name for path in (folder / "model").iterdir()} >= RESULTS
