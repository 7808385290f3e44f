"""What the tests of pipelines share."""

from __future__ import annotations

from pathlib import Path

from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.settings import PROJECT

SHIPPED = PROJECT / "pipelines"
ENGINES = ("meshroom-2023.3.0", "meshroom-2025.1.0")


def load(*folders: Path, engine: str = "") -> Pipelines:
    return PipelineShelf.load(folders or (SHIPPED,)).for_engine(engine)
