"""What the steps of a planned job will take, from what such steps have taken before. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshroom_tasks.jobs.experience import Experience, effort
from meshroom_tasks.jobs.records import PlannedWork

RESULTS = "results"
_RESULTS_WEIGHT = 3.0
_PHOTOS_OF_WEIGHTS = 23
"""The weights of `stages.toml` are those of a job with so many photos."""


@dataclass(frozen=True)
class Forecast:
    """Seconds of each chunk of each stage by its name, and of publishing the results.

    `measured`: which part of all these seconds comes from experience, 0 to 1; the rest are the policies' weights, in
    the same proportion to the experience as those that could be compared.
    """

    chunks: Mapping[str, tuple[float, ...]]
    results: float
    measured: float


def views_of_chunk(chunked: bool, block_size: int, size: int, chunk: int, photos: int) -> int:
    """How many photos a chunk handles: its block; a stage that is not cut handles all `photos` of the job."""
    if not chunked or block_size <= 0:
        return photos
    return max(0, min(block_size, size - chunk * block_size))


def forecast(planned: Sequence[PlannedWork], photos: int, known: Mapping[str, Experience]) -> Forecast:
    """`known`: experience by node type, and that of `results`."""
    measured: dict[str, tuple[float, ...]] = {}
    guessed: dict[str, tuple[float, ...]] = {}
    for stage in planned:
        efforts = _efforts(stage, photos)
        usual = effort(stage.node_type, _PHOTOS_OF_WEIGHTS, _PHOTOS_OF_WEIGHTS)
        guessed[stage.name] = tuple(stage.weight * share / usual for share in efforts)
        if (experience := known.get(stage.node_type)) is not None:
            measured[stage.name] = tuple(experience.seconds_for(share) for share in efforts)
    known_seconds = sum(map(sum, measured.values()))
    comparable = sum(sum(guessed[name]) for name in measured)
    scale = known_seconds / comparable if known_seconds > 0 and comparable > 0 else 1.0
    chunks = {name: measured.get(name, tuple(scale * seconds for seconds in guessed[name])) for name in guessed}
    results = known[RESULTS].seconds_for(photos) if RESULTS in known else scale * _RESULTS_WEIGHT
    total = sum(map(sum, chunks.values()))
    return Forecast(chunks, results, known_seconds / total if total > 0 else 0.0)


def _efforts(stage: PlannedWork, photos: int) -> list[float]:
    return [
        effort(stage.node_type, views_of_chunk(stage.chunked, stage.block_size, stage.size, chunk, photos), photos)
        for chunk in range(stage.chunk_count)
    ]
