"""Failures that explain themselves, in whole jobs with the test engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.deployment import Deployment, deployed
from tests.scripted_engine import overlapping

_SEEDS = count(5000)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("failures")) as running:
        yield running


def run(deployment: Deployment, rule: dict[str, Any], photos: list[str], **more: Any) -> Any:
    deployment.script({"stages": [rule]})
    return deployment.wait(deployment.submit(photos, **more), seconds=180)


def types_run(deployment: Deployment, since: int) -> list[str]:
    return [run.node_type for run in deployment.ledger()[since:]]


def test_too_few_placed_photos_end_the_job_before_the_dense_stages(deployment: Deployment) -> None:
    photos = deployment.photo_urls(10, seed=next(_SEEDS))
    before = len(deployment.ledger())
    rule = {"node_type": "StructureFromMotion", "placed": 4, "lines": [f"line {n}" for n in range(60)]}
    job = run(deployment, rule, photos, min_registered_share=0.5)
    assert job["status"] == "failed"
    error = job["error"]
    assert (error["code"], error["stage"], error["chunk"]) == ("too_few_cameras_registered", "StructureFromMotion_1", 0)
    assert error["worker"]
    assert len(error["log_tail"]) == 50
    names = [url.rpartition("/")[2] for url in photos]
    assert error["context"]["left_out"] == [{"index": n, "name": names[n]} for n in range(4, 10)]
    assert types_run(deployment, before)[-1] == "StructureFromMotion"

    before = len(deployment.ledger())
    job = run(deployment, {}, photos)
    assert job["status"] == "completed"
    assert "StructureFromMotion" not in types_run(deployment, before), "what was placed is judged anew, not computed"
    (warning,) = job["warnings"]
    assert warning["code"] == "photos_not_used"
    assert f"(left out: 4: {names[4]}, " in warning["message"]


MEMORY = {
    "gpu": (
        {"node_type": "DepthMap", "fail": {"lines": ["Not enough GPU memory to compute a single tile."]}},
        {"downscale": 4},
        "DepthMap ran out of GPU memory; it was run at half the resolution",
    ),
    "killed twice": (
        {"node_type": "Meshing", "signal": 9},
        {"maxInputPoints": 25_000_000, "maxPoints": 2_500_000},
        "Meshing ran out of memory; it was run with half as many points",
    ),
}


@pytest.mark.parametrize("kind", MEMORY)
def test_a_stage_without_enough_memory_is_run_with_lower_settings(deployment: Deployment, kind: str) -> None:
    rule, lowered, message = MEMORY[kind]
    before = len(deployment.ledger())
    job = run(deployment, {**rule, "unless": lowered}, deployment.photo_urls(4, seed=next(_SEEDS)))
    assert job["status"] == "completed", job["error"]
    assert [adjustment["values"] for adjustment in job["adjustments"]] == [lowered]
    assert message in [warning["message"] for warning in job["warnings"]]
    runs = deployment.ledger()[before:]
    assert overlapping(runs) == []
    assert {count for run, count in Counter((run.uid, run.chunk) for run in runs if run.exit == 0).items()} == {1}


def test_memory_that_never_suffices_ends_the_job_with_the_reason(deployment: Deployment) -> None:
    rule = {"node_type": "DepthMap", "fail": {"lines": ["Not enough GPU memory to compute a single tile."]}}
    job = run(deployment, rule, deployment.photo_urls(4, seed=next(_SEEDS)))
    assert (job["status"], job["error"]["code"]) == ("failed", "gpu_memory_exhausted")
    assert len(job["adjustments"]) == 1


def test_a_hand_off_that_was_incomplete_is_fetched_anew_and_counted(deployment: Deployment) -> None:
    rule = {"node_type": "Meshing", "attempts": [1], "fail": {"lines": ["Can't find view 7 region files"]}}
    job = run(deployment, rule, deployment.photo_urls(4, seed=next(_SEEDS)))
    assert job["status"] == "completed", job["error"]
    (warning,) = job["warnings"]
    assert (warning["code"], warning["stage"], warning["count"]) == ("handoff_incomplete", "Meshing_1", 1)
