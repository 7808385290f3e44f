"""The report of a finished job: what went in, how good the result is, what each stage cost.

`report.json`, version 1 (null: not known):

    version             1
    job_id              of the job
    pipeline, settings  as the job was submitted
    engine              {"name": identity of the engine, "versions": versions that the stages wrote down}
    photos              {"given", "used"}: photos submitted, and photos whose camera was found
    reprojection_error_px  mean distance of the sparse points from where the photos show them, in pixels
    points              sparse points
    mesh                {"vertices", "faces", "coverage"}; coverage: share (0 to 1) of the faces coloured from photos
    textures            [{"name", "width", "height"}]
    stages              [{"name", "node_type", "cached", "chunks", "wall_seconds", "cpu_seconds", "peak_bytes"}]
                        times are sums over the chunks, also of those that came from the cache; peak_bytes is the
                        resident memory of the largest process
    totals              {"wall_seconds", "cpu_seconds", "peak_bytes"} of what was computed for this job
    figures             {stage: what the stage itself left in its stats.json}
    warnings            [{"code", "message", ...}]
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.jobs.records import StageView, Usage

VERSION = 1


def read_figures(folder: Path) -> dict[str, Any]:
    """A stage's `stats.json`; empty where it left none. `HandoffIncomplete` when it is broken."""
    path = folder / "stats.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(), parse_constant=lambda constant: None)
    except ValueError as error:
        raise HandoffIncomplete("the stage left a stats.json that cannot be read", file=str(path)) from error
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True)
class SfmFigures:
    """What StructureFromMotion says of itself; None: not known."""

    photos_used: int | None
    points: int | None
    reprojection_error_px: float | None


def sfm_figures(figures: Mapping[str, Any]) -> SfmFigures:
    """From the stage's `stats.json`, whose numbers are strings."""
    sfm = figures.get("sfm")
    sfm = sfm if isinstance(sfm, dict) else {}
    used = _number(sfm.get("validViews", sfm.get("poses")))
    points = _number(sfm.get("points"))
    return SfmFigures(
        photos_used=None if used is None else int(used),
        points=None if points is None else int(points),
        reprojection_error_px=_number(sfm.get("residual")),
    )


def stage_costs(stages: Iterable[StageView]) -> list[dict[str, Any]]:
    """The entries `stages` of the report, for stages that a node of the graph stands behind."""
    return [
        {
            "name": stage.name,
            "node_type": stage.node_type,
            "cached": stage.cached,
            "chunks": len(stage.chunks),
            **_cost([chunk.usage for chunk in stage.chunks if chunk.usage is not None]),
        }
        for stage in stages
    ]


def total_cost(stages: Iterable[StageView]) -> dict[str, Any]:
    """The entry `totals`: what was computed for this job, so without chunks from the cache."""
    computed = (chunk for stage in stages for chunk in stage.chunks if not chunk.cached)
    return _cost([chunk.usage for chunk in computed if chunk.usage is not None])


def _cost(usages: Sequence[Usage]) -> dict[str, Any]:
    if not usages:
        return {"wall_seconds": None, "cpu_seconds": None, "peak_bytes": None}
    return {
        "wall_seconds": round(sum(usage.wall_seconds for usage in usages), 3),
        "cpu_seconds": round(sum(usage.cpu_seconds for usage in usages), 3),
        "peak_bytes": max(usage.peak_bytes for usage in usages),
    }


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
