"""Running one command of the engine under a warden: stopped in time, with all its descendants, whatever happens.

What each death leads to:
- this process dies: the warden's input ends, it kills the tree;
- this process is frozen or loses its lease: the warden's deadline passes, it kills the tree;
- the warden dies: the kernel kills the command (PDEATHSIG), the rest is found by its mark (see markers.py);
- the process that forked the warden dies: the kernel tells the warden to end, it kills the tree;
- the command dies: the warden kills what it left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from meshroom_tasks.engine import memory
from meshroom_tasks.engine.wardens import Warden
from meshroom_tasks.errors import EngineError, EngineKilled, EngineNotFound, EngineTimeout, ServiceError
from meshroom_tasks.jobs.records import Usage
from meshroom_tasks.stops import LeaseLost

POLL_SECONDS = 0.1
TIME_LIMIT_MARGIN = 5.0


class Watch(Protocol):
    """What a run is told from outside, and what it tells."""

    def stop_reason(self) -> ServiceError | None:
        """Asked several times a second. Not None: kill everything and raise this."""

    def lease_seconds_left(self) -> float:
        """How long the holder may still run if nothing is heard of it again (inf: for ever)."""

    def line(self, text: str) -> None:
        """A line of the engine's log."""

    def progress(self, fraction: float) -> None:
        """How far the stage is, from 0 to 1, when it has changed."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended by itself: its exit code (negative: a signal) and what its processes used."""

    exit_code: int
    usage: Usage
    memory_short: bool = False
    """Whether there is evidence that the kernel killed a process of it for lack of memory, if one was killed."""


def run(
    command: Sequence[str],
    *,
    name: str,
    folder: Path,
    output: Path,
    environment: Mapping[str, str],
    watch: Watch,
    time_limit: float,
    tick: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run a command in `folder` with its output appended to the file `output`, calling `tick` about every 0.1 s.

    When this returns or raises, no process of the command is left. `name` is what error messages call it.
    Raises the watch's reason to stop, EngineTimeout after `time_limit` seconds, LeaseLost when the lease ran out in
    between, EngineNotFound when the command cannot be executed, EngineKilled when the warden was killed.
    """
    started, kills_before = time.monotonic(), memory.oom_kills()
    warden = Warden(command, folder, output, environment)
    try:
        while True:
            elapsed = time.monotonic() - started
            if (reason := watch.stop_reason()) is not None:
                raise reason
            if elapsed >= time_limit:
                raise EngineTimeout(
                    f"{name} was stopped at its time limit of {time_limit:g} s; lower its settings or send fewer photos"
                )
            warden.allow(min(watch.lease_seconds_left(), time_limit - elapsed + TIME_LIMIT_MARGIN))
            if warden.has_ended(POLL_SECONDS):
                break
            tick()
    finally:
        result = warden.close()
    tick()
    return _outcome(name, result, time.monotonic() - started, memory.oom_kills() - kills_before)


def _outcome(name: str, result: Mapping[str, Any] | None, seconds: float, kills: int) -> Outcome:
    if result is None:
        raise EngineKilled(f"the process that guards {name} was killed from outside; it is tried again")
    if "unforked" in result:
        raise EngineError(f"no process can be started here ({result['unforked']}); free resources")
    if "not_started" in result:
        raise EngineNotFound(
            f"the command of {name} cannot be executed ({result['not_started']}); check the engine's installation"
        )
    if result["stopped"] == "terminated":
        raise EngineKilled(f"{name} was told to end from outside; it is tried again")
    if result["stopped"] is not None:
        raise LeaseLost(f"{name} was stopped because the worker had not been heard of in time; it goes to another")
    usage = Usage(wall_seconds=seconds, cpu_seconds=result["cpu_seconds"], peak_bytes=result["peak_bytes"])
    return Outcome(
        exit_code=result["exit"] if result["signal"] is None else -result["signal"],
        usage=usage,
        memory_short=memory.was_for_memory(kills, usage.peak_bytes, memory.memory_limit()),
    )
