from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from meshroom_tasks.cpu_engine import planning
from tests.cpu_engine.conftest import PROJECT, Run, write_template


@pytest.fixture
def planned(template: Path, photos: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run" / "p.mg"
    path.parent.mkdir()
    planning.save(planning.plan(template, photos), path)
    return path


def plan_single(tmp_path: Path, photos: Path, node_type: str, **inputs: Any) -> Path:
    template = write_template(tmp_path / "t.mg", {"CameraInit_1": {}, f"{node_type}_1": inputs})
    planning.save(planning.plan(template, photos), tmp_path / "p.mg")
    return tmp_path / "p.mg"


def folder_of(planned: Path, node_type: str) -> Path:
    return next((planned.parent / "MeshroomCache" / node_type).iterdir())


def status_of(planned: Path, node_type: str, prefix: str = "") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder_of(planned, node_type) / f"{prefix}status").read_text())
    return content


def test_one_chunk(engine: Run, planned: Path) -> None:
    assert engine("meshroom_compute", planned, "--node", "Writer_1", "--iteration", 1).returncode == 0
    folder = folder_of(planned, "Writer")
    assert {path.name for path in folder.iterdir()} == {"1.txt", "1.status", "1.log", "1.statistics"}
    assert (folder / "1.txt").read_text() == "[2] 3 1"
    status = status_of(planned, "Writer", "1.")
    assert (status["status"], status["returnCode"], status["nodeName"]) == ("SUCCESS", 0, "Writer_1")
    assert status["elapsedTime"] > 0
    log = (folder / "1.log").read_text()
    assert "threads 2 2" in log
    assert "from native code" in log
    assert re.search(r"^\[[\d:.]+\]\[info\] \[1/1\] written$", log, re.MULTILINE)
    process = json.loads((folder / "1.statistics").read_text())["process"]
    assert process["peakMemoryBytes"] > 1_000_000
    assert process["cpuSeconds"] >= 0


def test_a_chunk_handles_the_block_that_it_was_planned_for(
    engine: Run, template: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_BLOCK_SIZES", "Writer=1")
    planning.save(planning.plan(template, photos), tmp_path / "p.mg")
    monkeypatch.delenv("ENGINE_BLOCK_SIZES")
    assert engine("meshroom_compute", tmp_path / "p.mg", "--node", "Writer_1", "--iteration", 1).returncode == 0
    assert (folder_of(tmp_path / "p.mg", "Writer") / "1.txt").read_text() == "[1] 3 1"


def test_all_chunks_of_a_node_and_then_the_node_after_it(engine: Run, planned: Path) -> None:
    assert engine("meshroom_compute", planned, "--node", "Writer_1").returncode == 0
    assert (folder_of(planned, "Writer") / "0.txt").read_text() == "[0, 1] 3 1"
    assert engine("meshroom_compute", planned, "--node", "Reader_1").returncode == 0
    folder = folder_of(planned, "Reader")
    assert {path.name for path in folder.iterdir()} == {"copy.txt", "status", "log", "statistics"}
    assert (folder / "copy.txt").read_text() == "[0, 1] 3 1"


def test_what_is_done_is_skipped(engine: Run, planned: Path) -> None:
    engine("meshroom_compute", planned, "--node", "CameraInit_1")
    before = status_of(planned, "CameraInit")
    (folder_of(planned, "CameraInit") / "cameraInit.sfm").unlink()
    assert engine("meshroom_compute", planned, "--node", "CameraInit_1").returncode == 0
    assert status_of(planned, "CameraInit") == before
    assert not (folder_of(planned, "CameraInit") / "cameraInit.sfm").exists()


@pytest.mark.parametrize("left", ['{"status": "RUNNING"}', '{"status": "ERROR"}', "{", ""])
def test_what_was_left_unfinished_is_computed(engine: Run, planned: Path, left: str) -> None:
    engine("meshroom_compute", planned, "--node", "CameraInit_1")
    (folder_of(planned, "CameraInit") / "status").write_text(left)
    assert engine("meshroom_compute", planned, "--node", "CameraInit_1").returncode == 0
    assert status_of(planned, "CameraInit")["status"] == "SUCCESS"


def test_a_missing_input_is_an_error_that_names_it(engine: Run, planned: Path) -> None:
    assert engine("meshroom_compute", planned, "--node", "Reader_1").returncode == 1
    assert status_of(planned, "Reader")["returnCode"] == 1
    assert "Input 'input' is missing" in (folder_of(planned, "Reader") / "log").read_text()


def test_a_failing_node(engine: Run, tmp_path: Path, photos: Path) -> None:
    planned = plan_single(tmp_path, photos, "Failing")
    assert engine("meshroom_compute", planned, "--node", "Failing_1").returncode == 1
    status = status_of(planned, "Failing")
    assert (status["status"], status["returnCode"]) == ("ERROR", 1)
    assert (folder_of(planned, "Failing") / "log").read_text().endswith("[error] No valid tracks.\n")


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGSEGV, "died (SIGSEGV"), (signal.SIGABRT, "died (SIGABRT"), (signal.SIGKILL, "lack of memory")],
)
def test_a_crash_is_a_status_with_a_reason(
    engine: Run, tmp_path: Path, photos: Path, number: signal.Signals, reason: str
) -> None:
    planned = plan_single(tmp_path, photos, "Crashing", signal=int(number))
    assert engine("meshroom_compute", planned, "--node", "Crashing_1").returncode == 1
    status = status_of(planned, "Crashing")
    assert (status["status"], status["returnCode"]) == ("ERROR", -number)
    assert reason in (folder_of(planned, "Crashing") / "log").read_text()


def start_sleeper(planned: Path) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    """The running command, and the child that does the work."""
    command = [sys.executable, "-m", "meshroom_tasks.cpu_engine.meshroom_compute", str(planned), "--node", "Sleeper_1"]
    process = subprocess.Popen(command, cwd=PROJECT, env=dict(os.environ))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for log in (planned.parent / "MeshroomCache").glob("Sleeper/*/log"):
            if match := re.search(r"pid (\d+)\n", log.read_text()):
                return process, psutil.Process(int(match[1]))
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the node did not start")


def test_sigterm_kills_the_work_and_says_so(tmp_path: Path, photos: Path) -> None:
    planned = plan_single(tmp_path, photos, "Sleeper")
    process, child = start_sleeper(planned)
    assert status_of(planned, "Sleeper")["status"] == "RUNNING"
    process.terminate()
    assert process.wait(120) == 1
    assert not child.is_running()
    assert status_of(planned, "Sleeper")["status"] == "KILLED"


def test_the_work_dies_with_a_killed_command(tmp_path: Path, photos: Path) -> None:
    process, child = start_sleeper(plan_single(tmp_path, photos, "Sleeper"))
    process.kill()
    process.wait(120)
    child.wait(120)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--node", "Nobody_1"), 1, "no node Nobody_1"),
        (("--node", "Writer_1", "--iteration", "2"), 1, "has 2 chunks"),
        (("--node", "Writer_1", "--iteration", "-1"), 1, "has 2 chunks"),
        (("--node", "Writer_1", "--iteration", "x"), 255, "invalid int"),
        (("--iteration", "0"), 255, "needs --node"),
    ],
)
def test_requests_that_make_no_sense(
    engine: Run, planned: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = engine("meshroom_compute", planned, *arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_template_is_not_computed(engine: Run, template: Path) -> None:
    done = engine("meshroom_compute", template, "--node", "CameraInit_1")
    assert (done.returncode, "is a template" in done.stderr) == (1, True)


def test_batch_computes_and_publishes(engine: Run, template: Path, photos: Path, tmp_path: Path) -> None:
    done = engine(
        "meshroom_batch", "--input", photos, "--pipeline", template,
        "--save", tmp_path / "p.mg", "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy.txt"]
