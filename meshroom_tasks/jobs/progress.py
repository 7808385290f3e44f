"""How far a job is, and how long it may still take. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIXED_WEIGHTS = {"ingest": 3.0, "plan": 1.0, "results": 3.0}
"""Weight of the steps that are not stages of the graph, on the scale of `stages.toml`."""

_UNPLANNED_WEIGHT = 100.0
"""What all stages of a graph together are taken to weigh before there is a graph."""

_TOO_EARLY = 0.05


@dataclass(frozen=True)
class Share:
    """One step's part of the whole: its weight (any unit) and how much of it is done, 0 to 1."""

    weight: float
    done: float


def job_progress(shares: Sequence[Share], *, planned: bool) -> float:
    """Done part of the total weight, 0 to 1; before planning the unknown stages count as not begun."""
    total = sum(share.weight for share in shares) + (0.0 if planned else _UNPLANNED_WEIGHT)
    if total <= 0:
        return 0.0
    return min(1.0, sum(share.weight * share.done for share in shares) / total)


def seconds_left(progress: float, seconds_running: float) -> float | None:
    """An estimate by proportion; None while too little is done to tell."""
    if progress < _TOO_EARLY or seconds_running <= 0:
        return None
    return seconds_running * (1 - progress) / progress
