"""The supervisor: Ctrl-C ends everything, and so does its own sudden death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from demo.ports import free_port
from meshroom_tasks.settings import PROJECT
from tests.servers import tied
from tests.waiting import LONG, eventually


def of_this_test(folder: Path) -> list[psutil.Process]:
    """Live processes that have this data folder in their environment."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            inside = process.environ().get("DATA_DIR", "").startswith(str(folder))
        except psutil.Error:
            continue
        if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def started(module: str, folder: Path, ready: str) -> subprocess.Popen[Any]:
    environment = {**os.environ, "DATA_DIR": str(folder), "PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
    process = tied.start(
        # Tests that run in the background of a shell ignore SIGINT, and what they start would too.
        ["env", "--default-signal=INT", sys.executable, "-u", "-m", module],
        signal="TERM",
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if ready in line:
            return process
    raise AssertionError(f"{module} ended before it was ready")


def assert_all_gone(folder: Path) -> None:
    eventually(lambda: not of_this_test(folder), about=lambda: of_this_test(folder))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("module", "ready", "exit_code"),
    [("meshroom_tasks.local_service", "Ctrl-C stops all", 0), ("demo", "DepthMap", 130), ("demo", "rendered", 130)],
)
def test_ctrl_c_leaves_no_process(tmp_path: Path, module: str, ready: str, exit_code: int) -> None:
    process = started(module, tmp_path / "data", ready)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(LONG) == exit_code
    assert_all_gone(tmp_path)


@pytest.mark.slow
def test_no_process_outlives_the_supervisor(tmp_path: Path) -> None:
    process = started("meshroom_tasks.local_service", tmp_path / "data", "Ctrl-C stops all")
    assert len(of_this_test(tmp_path)) >= 6
    process.kill()
    process.wait()
    assert_all_gone(tmp_path)
