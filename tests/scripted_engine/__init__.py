"""The test engine for tests: its two commands, its script, its ledger. What it can do stands in engine.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRAM = Path(__file__).with_name("engine.py")


def commands() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The commands that plan and that compute; a fraction of Python's usual start-up time each."""
    python = (sys.executable, "-S", "-E", str(_PROGRAM))
    return (*python, "batch"), (*python, "compute")


def environment(script: Mapping[str, Any] | None = None, ledger: Path | None = None) -> dict[str, str]:
    """What to set in the engine's environment."""
    found = {"SCRIPTED_ENGINE": json.dumps(script or {})}
    if ledger is not None:
        found["SCRIPTED_ENGINE_LEDGER"] = str(ledger)
    return found


@dataclass(frozen=True)
class Run:
    """One run of the compute command. `ended` and `exit` are None when it did not come to its end.

    `overlaps`: pids of runs of the same uid and chunk that were alive when this one started.
    `devices`: CUDA_VISIBLE_DEVICES as it saw it; `machine`: its host name.
    """

    node: str
    node_type: str
    uid: str
    chunk: int
    attempt: int
    pid: int
    folder: str
    started: float
    overlaps: tuple[int, ...]
    devices: str | None = None
    machine: str = ""
    ended: float | None = None
    exit: int | None = None


def read_ledger(path: Path) -> list[Run]:
    """All runs in the order in which they started."""
    written = path.read_text().splitlines(keepends=True) if path.exists() else []
    lines = [json.loads(line) for line in written if line.endswith("\n")]  # One may just be written.
    ends = {
        (line["uid"], line["chunk"], line["pid"], line["attempt"]): line for line in lines if line["event"] == "end"
    }
    runs = []
    for line in lines:
        if line["event"] != "start":
            continue
        end = ends.get(_identity(line), {})
        runs.append(
            Run(
                **{name: line[name] for name in ("node", "node_type", "uid", "chunk", "attempt", "pid", "folder")},
                started=line["time"],
                overlaps=tuple(line["overlaps"]),
                devices=line.get("devices"),
                machine=line["machine"],
                ended=end.get("time"),
                exit=end.get("exit"),
            )
        )
    return runs


def overlapping(runs: list[Run]) -> list[Run]:
    """Those that started while another run of the same chunk was alive: must be none."""
    return [run for run in runs if run.overlaps]


def _identity(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["uid"], line["chunk"], line["pid"], line["attempt"]
