"""The chunks of one job on all workers at once, and what their size has to do with the stage cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployment import Deployment, deployed
from tests.scripted_engine import overlapping

WORKERS = 4
CUT = ("FeatureExtraction", "FeatureMatching", "PrepareDenseScene", "DepthMap", "DepthMapFilter")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("fan-out")
    with deployed(folder, cpu_workers=WORKERS, chunk_block_size="2", lease_seconds=20.0) as running:
        yield running


def stages(job: Any) -> dict[str, Any]:
    return {stage["node_type"]: stage for stage in job["stages"]}


def test_chunks_of_one_job_run_on_all_workers_at_once(deployment: Deployment) -> None:
    deployment.script({"stages": [{"node_type": node_type, "meet": WORKERS} for node_type in CUT]})
    job = deployment.wait(deployment.submit(deployment.photo_urls(2 * WORKERS)), seconds=280)
    assert job["status"] == "completed", job["error"]
    for node_type in CUT:
        chunks = stages(job)[node_type]["chunks"]
        assert [chunk["attempts"] for chunk in chunks] == [1] * WORKERS
    assert overlapping(deployment.ledger()) == []


def test_chunks_of_another_size_are_other_contents(deployment: Deployment) -> None:
    """What does not depend on the size is reused; what was cut otherwise, and all that follows from it, is not."""
    urls = deployment.photo_urls(8, seed=1)
    computed: list[set[str]] = []
    digests = []
    for block_sizes in ({}, {"DepthMap": 1}, {}, {"DepthMap": 1}, {"DepthMapFilter": 1}):
        deployment.script({"block_sizes": block_sizes})
        job = deployment.wait(deployment.submit(urls), seconds=200)
        assert job["status"] == "completed", job["error"]
        computed.append({name for name in CUT if not stages(job)[name]["cached"]})
        digests.append({item["name"]: item["sha256"] for item in job["results"] if item["name"].endswith(".obj")})
        assert len(stages(job)["DepthMap"]["chunks"]) == 8 // block_sizes.get("DepthMap", 2)
    assert computed == [set(CUT), {"DepthMap", "DepthMapFilter"}, set(), set(), {"DepthMapFilter"}]
    assert all(found == digests[0] for found in digests)
