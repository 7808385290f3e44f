"""Log files that grow, status files, and the small pure parts of the driver."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshroom_tasks.engine import identity
from meshroom_tasks.engine.environment import engine_environment
from meshroom_tasks.engine.log import MAX_LINE, Tail
from meshroom_tasks.engine.overrides import by_node
from meshroom_tasks.engine.status import Status, parse_status, read_status
from meshroom_tasks.errors import EngineNotFound, SettingInvalid
from meshroom_tasks.graph import Template, TemplateNode

RECORDED = Path(__file__).parents[1] / "data" / "recorded_run"

# Log


def test_a_line_is_given_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.lines() == [], "not there yet"
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert tail.lines() == ["one"]
        assert tail.lines() == []
        file.write("o\nthré".encode()[:-1])
        assert tail.lines() == ["two"]
        file.write("é".encode()[-1:])
        assert tail.finish() == ["thré"]
        assert tail.finish() == []


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"\x1b[31mred\x1b[0m\n", ["red"]),
        (b"10 %\r50 %\r100 %\n", ["100 %"]),
        (b"windows\r\n", ["windows"]),
        (b"nul\x00 and bell\x07\n", ["nul and bell"]),
        (b"tab\tstays\n", ["tab\tstays"]),
        (b"\xff\n", ["\ufffd"]),
        (b"\n\n", ["", ""]),
    ],
)
def test_lines_are_readable(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "log").write_bytes(content)
    assert Tail(tmp_path / "log").lines() == lines


def test_a_line_without_end_does_not_pile_up(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 3_000_000)
    lines = Tail(tmp_path / "log").lines()
    assert lines
    assert all(len(line) == MAX_LINE for line in lines)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_however_it_is_written(tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes]) -> None:
    """The lines do not depend on when they are read."""
    folder = tmp_path_factory.mktemp("log")
    growing = Tail(folder / "log")
    found: list[str] = []
    with (folder / "log").open("ab", buffering=0) as file:
        for block in blocks:
            file.write(block)
            found += growing.lines()
    assert found + growing.finish() == Tail(folder / "log").finish()


# Status


def test_recorded_status_files() -> None:
    files = [path for path in RECORDED.rglob("*status") if path.is_file()]
    assert len(files) == 11
    for path in files:
        status = read_status(path)
        assert status is not None
        assert status.state == "SUCCESS"
        assert status.return_code in (0, None)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"status": "ERROR", "returnCode": -9}', Status("ERROR", -9)),
        ('{"status": "RUNNING"}', Status("RUNNING", None)),
        ('{"status": "ERROR", "returnCode": "x"}', Status("ERROR", None)),
        ('{"status": "ERROR", "returnCode": true}', Status("ERROR", None)),
        ('{"status": 3}', None),
        ("[]", None),
        ('{"status": "SUC', None),
        ("", None),
    ],
)
def test_status(text: str, status: Status | None) -> None:
    assert parse_status(text) == status


def test_no_status_file(tmp_path: Path) -> None:
    assert read_status(tmp_path / "status") is None


# Identity


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("cpu-engine 0.1.0", "cpu-engine-0.1.0"),
        ("Meshroom 2023.3.0\n", "meshroom-2023.3.0"),
        ("v1.2", "v1.2"),
        ("", None),
        ("usage: meshroom_batch [-h]", None),
        ("a\nb", None),
        ("../../etc 1", None),
        ("x" * 100 + " 1", None),
    ],
)
def test_version(said: str, name: str | None) -> None:
    assert identity.from_version(said) == name


def test_content_decides(tmp_path: Path) -> None:
    program = tmp_path / "meshroom_batch"
    names = []
    for content in ("one", "two", "one"):
        program.write_text(content)
        program.chmod(0o755)
        names.append(identity.from_content((str(program),)))
    assert names[0] == names[2] != names[1]
    assert names[0].startswith("meshroom_batch-")
    assert identity.from_content((sys.executable, "-m", "a.b.planner")).startswith("planner-")


def test_a_missing_command() -> None:
    with pytest.raises(EngineNotFound):
        identity.executable(())


@pytest.mark.parametrize(("name", "safe"), [("A b/c", "a-b-c"), ("..", "engine"), ("-x-", "x"), ("é", "engine")])
def test_folder_safe(name: str, safe: str) -> None:
    assert identity.folder_safe(name) == safe


# Environment


def test_the_engine_sees_no_secrets() -> None:
    inherited = {
        "PATH": "/bin",
        "LD_LIBRARY_PATH": "/lib",
        "CUDA_VISIBLE_DEVICES": "0",
        "ALICEVISION_ROOT": "/opt",
        "X_API_KEY": "s",
        "DATABASE_URL": "s",
        "AWS_ACCESS_KEY_ID": "s",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "s",
        "BROKER_PASSWORD": "s",
        "BROKER_URL": "s",
        "WEBHOOK_SECRET": "s",
        "MY_API_KEY": "s",
        "PGPASSWORD": "s",
        "FLOWER_BASIC_AUTH": "admin:s",
        "CELERY_BROKER_URL": "amqp://user:s@broker:5672//",
        "http_proxy": "http://user:s@proxy:3128",
        "CELERY_BROKER_READ_URL": "AMQP://:s@broker",
    }
    seen = engine_environment(inherited, {"EXTRA": "1", "PATH": "/added"}, 3)
    assert seen == {
        "PATH": "/added",
        "LD_LIBRARY_PATH": "/lib",
        "CUDA_VISIBLE_DEVICES": "0",
        "ALICEVISION_ROOT": "/opt",
        "EXTRA": "1",
        "ENGINE_THREADS": "3",
        "OMP_NUM_THREADS": "3",
    }
    assert "OMP_NUM_THREADS" not in engine_environment({}, {}, 0)


# Overrides

TEMPLATE = Template(
    tuple(TemplateNode(name, name[:-2], {}) for name in ("DepthMap_1", "DepthMapFilter_1", "Meshing_1", "Meshing_2")),
    "2023.3.0",
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {}),
        ({"DepthMap": {"downscale": 2}}, {"DepthMap_1": {"downscale": 2}}),
        ({"Meshing": {"a": 1}}, {"Meshing_1": {"a": 1}, "Meshing_2": {"a": 1}}),
        (
            {"Meshing_2": {"g": {"x": 1}, "a": 2}, "Meshing": {"g": {"x": 0, "y": 0}, "a": 1}},
            {"Meshing_1": {"g": {"x": 0, "y": 0}, "a": 1}, "Meshing_2": {"g": {"x": 1, "y": 0}, "a": 2}},
        ),
    ],
)
def test_overrides(settings: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    assert by_node(TEMPLATE, settings) == expected


def test_overrides_of_an_unknown_node() -> None:
    with pytest.raises(SettingInvalid):
        by_node(TEMPLATE, {"Depth": {}})


@pytest.mark.parametrize(
    ("said", "settings", "expected"),
    [
        ({}, {}, {"colorMapping": {"colorMappingFileType": "png"}, "bumpMapping": {"normalFileType": "png"}}),
        (
            {"colorMapping": {"colorMappingFileType": "exr"}, "bumpMapping": {"enable": True}},
            {},
            {"bumpMapping": {"normalFileType": "png"}},
        ),
        ({"colorMapping": {"colorMappingFileType": "exr"}, "bumpMapping": {"normalFileType": "exr"}}, {}, None),
        ({"colorMapping": "{Other_1.colorMapping}", "bumpMapping": "{Other_1.bumpMapping}"}, {}, None),
        (
            {"bumpMapping": {"normalFileType": "jpg"}},
            {"colorMapping": {"colorMappingFileType": "jpg"}},
            {"colorMapping": {"colorMappingFileType": "jpg"}},
        ),
        (
            {"bumpMapping": {"normalFileType": "jpg"}},
            {"colorMapping": {"enable": True}, "textureSide": 1024},
            {"colorMapping": {"colorMappingFileType": "png", "enable": True}, "textureSide": 1024},
        ),
    ],
)
def test_textures_are_png_where_a_template_is_silent(
    said: dict[str, Any], settings: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    template = Template((TemplateNode("Texturing_1", "Texturing", said),), "2023.3.0")
    found = by_node(template, {"Texturing": settings} if settings else {})
    assert found == ({} if expected is None else {"Texturing_1": expected})
