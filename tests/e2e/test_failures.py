"""Failures that explain themselves, in whole jobs with the test engine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.deployment import Deployment, deployed

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
