"""A supervisor of the whole service as a process of its own, and all that it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from meshroom_tasks.ports import free_port
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


def interrupted(process: subprocess.Popen[Any]) -> int:
    """Ctrl-C, as a terminal gives it to all in the foreground; the exit code."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(LONG)


def assert_all_gone(folder: Path) -> None:
    eventually(lambda: not of_this_test(folder), about=lambda: of_this_test(folder))
