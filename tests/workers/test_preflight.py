"""A worker whose machine lacks something takes no tasks, and says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.child_processes import EXIT_REFUSED, READY_FILE, refusal_file
from meshroom_tasks.jobs.store import open_store
from meshroom_tasks.preflight import Equipment, Unfit, equipment, lacks_vocabulary_tree
from meshroom_tasks.service import Service
from meshroom_tasks.settings import PROJECT, load_settings
from meshroom_tasks.worker_node import NEEDS_GPU
from tests.fake_nvml.pynvml import uuid

STAGES = ("cpu", "gpu")


def found(queues: tuple[str, ...], environment: dict[str, str] | None = None, **settings: Any) -> Equipment:
    values = load_settings(engine_version="engine-1", **settings)
    return equipment(queues, values, Service(values).engine, environment or {})


def test_a_machine_without_gpu_is_fit_for_all_stages() -> None:
    assert found(STAGES) == Equipment("engine-1", None)
    assert found(STAGES, {"CUDA_VISIBLE_DEVICES": ""}) == Equipment("engine-1", None)


@pytest.mark.parametrize("setting", ["meshroom_batch", "meshroom_compute"])
@pytest.mark.parametrize("queue", ["ingest", "cpu", "gpu"])
def test_without_the_engine_none_that_needs_it_starts(setting: str, queue: str) -> None:
    with pytest.raises(Unfit, match="'no_such_engine' is not on this machine"):
        found((queue,), **{setting: "no_such_engine --fast"})


def test_callbacks_need_no_engine() -> None:
    assert found(("callback",), meshroom_batch="no_such_engine") == Equipment()


@pytest.mark.parametrize("setting", [{"webhook_secret": "too short"}, {"callback_schedule": ("soon",)}])
def test_callbacks_that_would_fail_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(Unfit):
        found(("callback",), **setting)


def test_a_promised_sensor_database_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="ALICEVISION_SENSOR_DB"):
        found(("cpu",), {"ALICEVISION_SENSOR_DB": str(tmp_path / "sensors.db")})
    with pytest.raises(Unfit, match="ALICEVISION_ROOT"):
        found(("cpu",), {"ALICEVISION_ROOT": str(tmp_path)})
    database = tmp_path / "share" / "aliceVision" / "cameraSensors.db"
    database.parent.mkdir(parents=True)
    database.touch()
    assert found(("cpu",), {"ALICEVISION_ROOT": str(tmp_path)}).engine
    assert found(("cpu",), {"ALICEVISION_SENSOR_DB": str(database)}).engine


def test_meshroom_may_lack_a_vocabulary_tree(tmp_path: Path) -> None:
    assert not lacks_vocabulary_tree("cpu-engine-0.1.0", {})
    assert lacks_vocabulary_tree("meshroom-2023.3.0", {})
    assert lacks_vocabulary_tree("meshroom-2023.3.0", {"ALICEVISION_VOCTREE": str(tmp_path / "none.tree")})
    assert lacks_vocabulary_tree("meshroom-2025.1.0", {"ALICEVISION_ROOT": str(tmp_path)})
    tree = tmp_path / "share" / "aliceVision" / "vlfeat_K80L3.SIFT.tree"
    tree.parent.mkdir(parents=True)
    tree.touch()
    assert not lacks_vocabulary_tree("meshroom-2025.1.0", {"ALICEVISION_ROOT": str(tmp_path)})
    assert not lacks_vocabulary_tree("meshroom-2023.3.0", {"ALICEVISION_VOCTREE": str(tree)})


@pytest.mark.parametrize(
    ("told", "environment", "reason"),
    [
        ("no driver", {"CUDA_VISIBLE_DEVICES": "0"}, "Driver Not Loaded"),
        ("no driver", {NEEDS_GPU: "1", "CUDA_VISIBLE_DEVICES": ""}, "Driver Not Loaded"),
        ("2", {"CUDA_VISIBLE_DEVICES": uuid(3)}, "which is no GPU of this machine"),
        ("2", {NEEDS_GPU: "1", "CUDA_VISIBLE_DEVICES": ""}, "hides all 2 of this machine"),
    ],
)
def test_a_node_without_its_gpu_refuses(
    fake_nvml: pytest.MonkeyPatch, told: str, environment: dict[str, str], reason: str
) -> None:
    fake_nvml.setenv("FAKE_NVML", told)
    with pytest.raises(Unfit, match=reason):
        found(("gpu",), environment)
    assert found(("cpu",), environment).gpu is None, "a worker of `cpu` does not care"


def test_a_node_finds_the_gpu_that_it_is_pinned_to(fake_nvml: pytest.MonkeyPatch) -> None:
    fake_nvml.setenv("FAKE_NVML", "4")
    gpu = found(("gpu",), {NEEDS_GPU: "1", "CUDA_VISIBLE_DEVICES": uuid(2)}).gpu
    assert gpu is not None
    assert (gpu.index, gpu.uuid) == (2, uuid(2))


@pytest.mark.parametrize(
    ("role", "more", "reason"),
    [
        ("gpu", {}, "no GPU is visible: the NVIDIA driver knows no GPU"),
        ("cpu", {"MESHROOM_BATCH": "no_such_engine"}, "'no_such_engine' is not on this machine"),
        ("cpu", {"ALICEVISION_SENSOR_DB": "/nowhere/sensors.db"}, "/nowhere/sensors.db is missing"),
    ],
)
def test_a_real_worker_that_refuses_ends_and_says_why(
    fake_nvml: pytest.MonkeyPatch, tmp_path: Path, role: str, more: dict[str, str], reason: str
) -> None:
    ready = tmp_path / "worker.ready"
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "FAKE_NVML": "0", READY_FILE: str(ready), **more}
    command = [sys.executable, "-m", "meshroom_tasks.worker_node", role]
    ended = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == EXIT_REFUSED, ended.stderr
    assert reason in ended.stderr.splitlines()[-1]
    assert reason in refusal_file(ready).read_text()
    assert not ready.exists()
    [view] = open_store(load_settings(data_dir=tmp_path)).workers()
    assert view.state == "refused"
    assert reason in (view.refusal or "")
