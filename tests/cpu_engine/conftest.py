from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cpu_engine.plain_nodes import PLUGGED

PROJECT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def write_template(path: Path, nodes: dict[str, dict[str, Any]]) -> Path:
    """A template: node name -> inputs; the node's type is its name without the number."""
    graph = {name: {"nodeType": name.rpartition("_")[0], "inputs": inputs} for name, inputs in nodes.items()}
    path.write_text(json.dumps({"header": {"template": True}, "graph": graph}))
    return path


@pytest.fixture(autouse=True)
def plugged_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPU_ENGINE_NODES", PLUGGED)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three small photos without metadata."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        Image.new("RGB", (64, 48), (80 * index, 90, 100)).save(folder / f"{index}.jpg")
    return folder


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """CameraInit -> Writer (2 chunks for 3 photos) -> Reader, which links to an output, a list and an input."""
    nodes = {
        "Reader_1": {
            "input": "{Writer_1.first}",
            "folders": ["{Writer_1.output}"],
            "amount": "{Writer_1.amount}",
        },
        "Writer_1": {"input": "{CameraInit_1.output}"},
        "CameraInit_1": {},
    }
    return write_template(tmp_path / "plain.mg", nodes)


@pytest.fixture
def engine() -> Run:
    """Run one of the two commands: engine("meshroom_batch", "--input", ...)."""

    def run(command: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", f"meshroom_tasks.cpu_engine.{command}", *map(str, arguments)],
            cwd=PROJECT,
            env={**os.environ, "ENGINE_THREADS": "2", **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return run
