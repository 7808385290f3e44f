"""Machines with 0, 1 and 4 GPUs: every chunk of a GPU stage sees exactly one device, and its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.deployment import deployed
from tests.fake_nvml.pynvml import MEMORY, uuid

GPU_STAGES = {"DepthMap"}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_every_chunk_of_a_gpu_stage_sees_its_own_device_alone(
    fake_nvml: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    fake_nvml.setenv("FAKE_NVML", str(count))
    script = {"block_sizes": {"DepthMap": 1}, "stages": [{"node_type": "DepthMap", "until": str(tmp_path / "gate")}]}
    with deployed(tmp_path, script=script, cpu_workers=1) as deployment:
        job_id = deployment.submit(deployment.photo_urls(8))
        deployment.computing("DepthMap", count)  # One on each: none is idle while there is work.
        deployment.open_gate()
        job = deployment.wait(job_id)
        assert job["status"] == "completed", job["error"]
        workers = {view.name.partition("@")[0]: view for view in deployment.store.workers()}
    assert set(workers) == {"light", "cpu", *(f"gpu{index}" for index in range(count))}
    for index in range(count):
        view = workers[f"gpu{index}"]
        assert (view.queues, view.processes) == (("gpu",), 1)
        assert (view.gpu_uuid, view.gpu_name, view.gpu_memory_bytes) == (uuid(index), "NVIDIA Test 4090", MEMORY)
    assert workers["cpu"].queues == ("cpu",)
    assert workers["cpu"].gpu_uuid is None

    who_ran = {
        (stage["node_type"], chunk["index"]): chunk["worker"].partition("@")[0]
        for stage in job["stages"]
        for chunk in stage["chunks"]
    }
    runs = deployment.ledger()
    for run in runs:
        node = who_ran[run.node_type, run.chunk]
        if run.node_type in GPU_STAGES:
            assert run.devices == uuid(int(node.removeprefix("gpu")))
        else:
            assert (node, run.devices) == ("cpu", ""), "the others see none"
    used = Counter(run.devices for run in runs if run.node_type in GPU_STAGES)
    assert sum(used.values()) == 8
    assert set(used) == {uuid(index) for index in range(count)}, "and each has had its share"


@pytest.mark.slow
def test_without_a_gpu_the_cpu_workers_take_its_stages(fake_nvml: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_nvml.setenv("FAKE_NVML", "no driver")
    with deployed(tmp_path, script={"block_sizes": {"DepthMap": 2}}) as deployment:
        job = deployment.wait(deployment.submit())
        assert job["status"] == "completed", job["error"]
        workers = {view.name.partition("@")[0]: view for view in deployment.store.workers()}
    assert set(workers) == {"light", "cpu"}
    assert workers["cpu"].queues == ("cpu", "gpu")
    assert {run.devices for run in deployment.ledger()} == {None}
