"""Whole jobs on workers whose disk is small, full, or fills up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployment import Deployment, deployed
from tests.small_disk import small_disk

MB = 1 << 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Every worker has its workspace on one disk of 48 MB."""
    folder = tmp_path_factory.mktemp("small")
    with (
        small_disk(folder / "disk", 48) as disk,
        deployed(folder / "service", workspace_dir=disk, workspace_keep_free_bytes=0) as deployment,
    ):
        yield deployment


def waiting(job: dict[str, Any]) -> list[str]:
    return [chunk["waiting"] for stage in job["stages"] for chunk in stage["chunks"] if chunk["waiting"]]


def attempts(job: dict[str, Any]) -> dict[str, int]:
    return {stage["node_type"]: max(chunk["attempts"] for chunk in stage["chunks"]) for stage in job["stages"]}


def leftovers(deployment: Deployment) -> list[str]:
    """All that is in the workspace and no cache."""
    root = deployment.settings.workspace
    found = [*root.glob("*/*/runs/*"), *root.glob("downloads/*"), *root.glob("reservations/*"), *root.rglob(".*.part")]
    return [path.name for path in found if path.name != "ledger.lock"]


@pytest.mark.slow
def test_a_full_disk_is_waited_for(small: Deployment) -> None:
    ballast = small.settings.workspace / "ballast"
    ballast.write_bytes(bytes(46 * MB))
    job_id = small.submit(small.photo_urls(seed=1))
    job = small.wait(job_id, until=lambda job: bool(waiting(job)))
    assert waiting(job)[0].startswith("waiting for disk on worker ")
    assert "needs " in waiting(job)[0]
    assert job["status"] == "running"
    ballast.unlink()
    job = small.wait(job_id, seconds=150)
    assert job["status"] == "completed", job["error"]
    assert set(attempts(job).values()) == {1}
    assert leftovers(small) == []


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_a_retry(small: Deployment) -> None:
    large = {"node_type": "Meshing", "attempts": [1], "write": {"densePointCloud.abc": 60 * MB}}
    small.script({"stages": [large]})
    job = small.wait(small.submit(small.photo_urls(seed=2)), seconds=150)
    assert job["status"] == "completed", job["error"]
    assert attempts(job)["Meshing"] == 2
    assert leftovers(small) == []
