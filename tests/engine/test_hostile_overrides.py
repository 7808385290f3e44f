"""Whatever a setting holds, the engine gets it as data in a file: its command line is ours, word by word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshroom_tasks.engine import Engine
from tests.engine.conftest import DEFAULT, Project
from tests.scripted_engine import commands

HOSTILE = {
    "shell": "$(touch touched); `touch touched` | touch touched && touch touched",
    "variable": "${SCRIPTED_ENGINE}",
    "response file": "@/etc/passwd",
    "newlines": "a\n--save\n/tmp/elsewhere\r\nb",
    "short option": "-h",
    "long option": "--compute=yes",
    "quotes": "'\"\\",
    "expression": "{cache}/{nodeType}",
    "100 kB": "x" * 100_000,
}

_RECORDER = """
import json, sys
with open({seen!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
sys.argv = sys.argv[1:]
sys.path.insert(0, {folder!r})
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
"""


def recorded(project: Project) -> tuple[Engine, Path]:
    """The test engine behind a program that writes down the words with which it is started, and where it does."""
    seen, recorder = project.root / "seen", project.root / "recorder.py"
    batch, compute = commands()
    recorder.write_text(_RECORDER.format(seen=str(seen), folder=str(Path(batch[3]).parent)))
    starts = [(*command[:3], str(recorder), *command[3:]) for command in (batch, compute)]
    return Engine(*starts, version="recorded-1.0", environment=project.environment), seen


@pytest.mark.parametrize("name", HOSTILE)
def test_a_setting_reaches_the_engine_as_data_only(project: Project, name: str) -> None:
    engine, seen = recorded(project)
    folder = project.root / "plan"
    folder.mkdir()
    value = HOSTILE[name]
    graph = engine.plan(
        photos=project.root / "photos",
        template=DEFAULT,
        folder=folder,
        overrides={"FeatureExtraction": {"describerPreset": value}},
        watch=project.watch,
        time_limit=120,
    )
    engine.compute(
        folder=folder,
        stage="CameraInit_1",
        node_type="CameraInit",
        uid=graph.stage("CameraInit_1").uid,
        chunk=None,
        watch=project.watch,
        time_limit=120,
    )
    planned, computed = (json.loads(line)[1:] for line in seen.read_text().splitlines())
    named = dict(zip(planned[1::2], planned[2::2], strict=True))
    assert planned[0] == "batch"
    assert named.keys() == {"--input", "--pipeline", "--save", "--compute", "--overrides"}
    assert named["--compute"] == "no"
    assert all(Path(word).is_relative_to(project.root) for key, word in named.items() if key in ("--input", "--save"))
    assert computed[:4] == ["compute", str(folder / "p.mg"), "--node", "CameraInit_1"]
    assert not any(value in word for word in (*planned, *computed))

    given = json.loads(Path(named["--overrides"]).read_text())
    assert given["FeatureExtraction_1"]["describerPreset"] == value
    node = json.loads((folder / "p.mg").read_text())["graph"]["FeatureExtraction_1"]
    assert node["inputs"]["describerPreset"] == value
    assert not list(project.root.rglob("touched"))
