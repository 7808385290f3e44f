"""What the seed decides of the jobs: their photos, settings and priorities, and how each has to end."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

Ending = Literal["completed", "failed", "cancelled"]

NODES: dict[str, dict[str, Any]] = {
    "CameraInit_1": {"nodeType": "CameraInit", "inputs": {}},
    "FeatureExtraction_1": {"nodeType": "FeatureExtraction", "inputs": {"input": "{CameraInit_1.output}"}},
    "StructureFromMotion_1": {
        "nodeType": "StructureFromMotion",
        "inputs": {"input": "{FeatureExtraction_1.input}", "featuresFolders": ["{FeatureExtraction_1.output}"]},
    },
    "DepthMap_1": {"nodeType": "DepthMap", "inputs": {"input": "{StructureFromMotion_1.output}"}},
    "Meshing_1": {
        "nodeType": "Meshing",
        "inputs": {"input": "{StructureFromMotion_1.output}", "depthMapsFolder": "{DepthMap_1.output}"},
    },
    "Texturing_1": {
        "nodeType": "Texturing",
        "inputs": {"input": "{Meshing_1.output}", "inputMesh": "{Meshing_1.outputMesh}"},
    },
}
"""A pipeline that has every kind of stage, and no more, so that many jobs fit into a minute."""
TEMPLATE: dict[str, Any] = {
    "header": {"releaseVersion": "2023.3.0", "fileVersion": "1.1", "template": True},
    "graph": NODES,
}

_SECONDS = [0.1, 2.0]
_PHOTOS = (3, 8)
_PHOTOS_A_CHUNK = 2
_REPEATED = 0.4
_FAILING = "No valid initial pair found"
FAILS_WITH = "photos_do_not_overlap"
_WIDE: dict[str, tuple[str, float, float]] = {
    "FeatureExtraction": ("maxNbFeatures", 1000, 1),
    "StructureFromMotion": ("localizerEstimatorMaxIterations", 1000, 1),
    "DepthMap": ("minViewAngle", 1.0, 0.25),
    "Meshing": ("maxPoints", 1_000_000, 1),
}
"""Attributes that take many values: the first one of ours, and from one to the next."""
# Some of what Meshroom's own processes do, so that a cancel has something to end.
_STUBBORN = {"ignore_sigterm": True, "own_session": True, "children": ["plain", "session", "daemon"]}


@dataclass(frozen=True)
class Plan:
    """One job. `cancel_in`: the node type in which a job hangs until it is cancelled."""

    number: int
    photo_set: int
    photo_count: int
    ending: Ending
    priority: int
    settings: dict[str, dict[str, float]] = field(default_factory=dict)
    cancel_in: str = ""


@dataclass(frozen=True)
class Plans:
    jobs: list[Plan]
    script: dict[str, Any]
    """For the test engine."""


def draw(random: Random, count: int) -> Plans:
    """`count` jobs: of twenty three fail for their own reason and four are cancelled, in any order."""
    failed, cancelled = max(1, count * 3 // 20), max(1, count // 5)
    endings: list[Ending] = [*["failed"] * failed, *["cancelled"] * cancelled]  # type: ignore[list-item]
    endings += ["completed"] * (count - failed - cancelled)
    random.shuffle(endings)
    sets: list[int] = []
    jobs = [_draw_job(random, number, ending, sets) for number, ending in enumerate(endings)]
    rules: list[dict[str, Any]] = []
    for job in jobs:
        if job.ending == "failed":
            rules.append({"node_type": "StructureFromMotion", "inputs": _own(job), "fail": {"lines": [_FAILING]}})
        elif job.ending == "cancelled":
            stubborn = _STUBBORN if random.random() < 0.5 else {}
            rules.append({"node_type": job.cancel_in, "inputs": _own(job), "hang": True, **stubborn})
    block_sizes = {"FeatureExtraction": _PHOTOS_A_CHUNK, "DepthMap": random.choice([2, 3, 8])}
    return Plans(jobs, {"block_sizes": block_sizes, "stages": [*rules, {"sleep": _SECONDS}]})


def another(number: int) -> Plan:
    """One more that completes, for a fault that finds the service without work."""
    return Plan(number, number, 3, "completed", 5)


def _draw_job(random: Random, number: int, ending: Ending, sets: list[int]) -> Plan:
    if sets and random.random() < _REPEATED:
        photo_set = random.choice(sets)  # Shares its chunks with an earlier job, or waits for them.
    else:
        sets.append(photo_set := number)
    settings: dict[str, dict[str, float]] = {}
    cancel_in = ""
    if ending == "failed":
        settings = _own_setting("StructureFromMotion", number)
    elif ending == "cancelled":
        cancel_in = random.choice(["FeatureExtraction", "DepthMap", "Meshing"])
        settings = _own_setting(cancel_in, number)
    elif random.random() < 0.5:
        settings = _own_setting("Meshing", number)
    count = Random(photo_set).randint(*_PHOTOS)
    return Plan(number, photo_set, count, ending, random.randint(0, 9), settings, cancel_in)


def _own_setting(node_type: str, number: int) -> dict[str, dict[str, float]]:
    """A setting that no other job has, so that from this stage on it shares nothing, and the script can name it."""
    attribute, first, step = _WIDE[node_type]
    return {node_type: {attribute: first + number * step}}


def _own(job: Plan) -> dict[str, float]:
    (values,) = job.settings.values()
    return values
