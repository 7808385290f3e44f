from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshroom_tasks.cpu_engine.status import ChunkFiles, Status, read_state, write_json


@pytest.mark.parametrize(("block_size", "index", "name"), [(0, 0, "status"), (20, 0, "0.status"), (20, 3, "3.status")])
def test_names(tmp_path: Path, block_size: int, index: int, name: str) -> None:
    assert ChunkFiles.of(tmp_path, block_size, index).status == tmp_path / name


def test_the_fields_of_a_recorded_status_are_all_there() -> None:
    recorded = Path(__file__).parents[1] / "data" / "recorded_run" / "MeshroomCache"
    meshroom = json.loads(next(recorded.glob("StructureFromMotion/*/status")).read_text())
    own = Status("A_1", "A", "1.0", "a").running().finished("SUCCESS", 0).as_json()
    assert set(own) == set(meshroom)
    assert own["startDateTime"] <= own["endDateTime"]


def test_writing_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "status"
    for state in ("RUNNING", "SUCCESS"):
        write_json(path, {"status": state})
        assert read_state(path) == state
    assert [entry.name for entry in tmp_path.iterdir()] == ["status"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3"])
def test_an_unreadable_status_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "status").write_text(text)
    assert read_state(tmp_path / "status") == "NONE"
    assert read_state(tmp_path / "missing") == "NONE"
