from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from meshroom_tasks.handoff import Workspace
from meshroom_tasks.settings import Settings, load_settings
from meshroom_tasks.storage import Storage, open_storage
from tests.servers.seaweedfs import SeaweedFS


@pytest.fixture(params=["file", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of each kind of object store."""
    if request.param == "file":
        return load_settings(storage_url=(tmp_path / "objects").as_uri())
    server: SeaweedFS = request.getfixturevalue("seaweedfs")
    return load_settings(**server.settings(f"handoff-{uuid.uuid4().hex}"))


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace", "engine-1.0", "photos0")


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A finished stage's folder, as an engine leaves it."""
    folder = tmp_path / "run" / "DepthMap" / "uid0"
    (folder / "sub").mkdir(parents=True)
    for name, content in {
        "0.status": "{}",
        "0.log": "line\n",
        "0.statistics": "{}",
        "1_depthMap.exr": "depth" * 1000,
        "sub/x.txt": "x",
        "empty": "",
    }.items():
        (folder / name).write_text(content)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
