"""A project of the test engine: photos, a planned graph, and a run of each chunk in a folder of its own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.engine import Engine
from meshroom_tasks.errors import ServiceError
from meshroom_tasks.graph import PlannedGraph, PlannedStage
from meshroom_tasks.jobs.records import Usage
from tests.scripted_engine import Run, commands, environment, read_ledger

DEFAULT = Path(__file__).parents[2] / "pipelines" / "default.mg"


@dataclass
class Recorder:
    """A watch that writes down what it is told, and stops when it is told to."""

    lines: list[str] = field(default_factory=list)
    fractions: list[float] = field(default_factory=list)
    lease: Callable[[], float] = lambda: float("inf")
    stop: Callable[[], ServiceError | None] = lambda: None

    def stop_reason(self) -> ServiceError | None:
        return self.stop()

    def lease_seconds_left(self) -> float:
        return self.lease()

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)


@dataclass
class Project:
    """`mark` stands in the environment of every process that the engine starts here."""

    root: Path
    mark: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex}")
    script: dict[str, Any] = field(default_factory=dict)
    watch: Recorder = field(default_factory=Recorder)

    @property
    def environment(self) -> dict[str, str]:
        return {**environment(self.script, self.root / "ledger"), "TEST_MARK": self.mark}

    @property
    def engine(self) -> Engine:
        return Engine(*commands(), environment=self.environment)

    def plan(self, overrides: Mapping[str, Mapping[str, Any]] | None = None, time_limit: float = 300) -> PlannedGraph:
        (self.root / "plan").mkdir(exist_ok=True)
        return self.engine.plan(
            photos=self.root / "photos",
            template=DEFAULT,
            folder=self.root / "plan",
            overrides=overrides or {},
            watch=self.watch,
            time_limit=time_limit,
        )

    def prepare(self, graph: PlannedGraph, stage: PlannedStage) -> Path:
        """A run folder with the graph and exactly what the stage reads."""
        folder = self.root / "runs" / uuid.uuid4().hex
        (folder / "MeshroomCache").mkdir(parents=True)
        shutil.copy(self.root / "plan" / "p.mg", folder / "p.mg")
        for name in stage.reads:
            read = graph.stage(name)
            shutil.copytree(self.done(read), folder / "MeshroomCache" / read.node_type / read.uid)
        return folder

    def done(self, stage: PlannedStage) -> Path:
        return self.root / "done" / stage.node_type / stage.uid

    def compute(self, graph: PlannedGraph, name: str, chunk: int = 0, time_limit: float = 300) -> Usage:
        """Compute a chunk; what it leaves is added to `done`."""
        stage = graph.stage(name)
        folder = self.prepare(graph, stage)
        usage = self.engine.compute(
            folder=folder,
            stage=name,
            node_type=stage.node_type,
            uid=stage.uid,
            chunk=chunk if stage.chunked else None,
            watch=self.watch,
            time_limit=time_limit,
        )
        left = folder / "MeshroomCache" / stage.node_type / stage.uid
        shutil.copytree(left, self.done(stage), dirs_exist_ok=True)
        return usage

    def ledger(self) -> list[Run]:
        return read_ledger(self.root / "ledger")

    def processes(self) -> list[int]:
        """The living processes that the engine started."""
        return [pid for pid in marked(self.mark) if pid != os.getpid()]


def marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state = (entry / "stat").read_text().rpartition(") ")[2][0]
            if state not in "ZX" and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "photos").mkdir()
    for index in range(5):
        (tmp_path / "photos" / f"{index:04d}.jpg").write_bytes(b"photo")
    project = Project(tmp_path)
    yield project
    for pid in project.processes():
        os.kill(pid, 9)
