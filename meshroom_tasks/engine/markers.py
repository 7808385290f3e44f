"""Finding processes of the engine by a mark in their environment: the last resort when their warden is gone.

Every process that the engine starts inherits `MESHROOM_TASKS_RUN`, a name for one run, and `MESHROOM_TASKS_DRIVER`,
which names the worker's process. Both stand in /proc/<pid>/environ.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from pathlib import Path

RUN = "MESHROOM_TASKS_RUN"
DRIVER = "MESHROOM_TASKS_DRIVER"


def new_run() -> dict[str, str]:
    """The marks of one run that this process starts."""
    return {RUN: uuid.uuid4().hex, DRIVER: f"{os.getpid()}:{_started(os.getpid())}"}


def kill_marked(run: str) -> int:
    """Kill every process that carries this run's mark, until none is left; how many there were."""
    killed: set[int] = set()
    while living := [pid for pid in _pids() if _marks(pid).get(RUN) == run]:
        for pid in living:
            _kill(pid)
        killed.update(living)
        time.sleep(0.01)
    return len(killed)


def kill_leftovers() -> int:
    """Kill the processes of runs whose worker is no longer alive, as when worker and warden were killed at once.

    For the start of a worker; returns the number of processes.
    """
    killed = 0
    for pid in _pids():
        driver = _marks(pid).get(DRIVER, "")
        owner, _, started = driver.partition(":")
        if owner.isdigit() and _started(int(owner)) != started:
            _kill(pid)
            killed += 1
    return killed


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _started(int(entry.name))]


def _started(pid: int) -> str:
    """The kernel's start time of a living process, which tells it from a later one with its pid; "" for no such."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]


def _marks(pid: int) -> dict[str, str]:
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in content.split("\0"))
    return {name: value for name, _, value in pairs if name in (RUN, DRIVER)}


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
