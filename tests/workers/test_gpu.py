"""Finding GPUs: what there is, why there is none, and which of them this process may use."""

from __future__ import annotations

import sys

import pytest

from meshroom_tasks.gpu import Gpu, Gpus, find_gpus
from tests.fake_nvml.pynvml import MEMORY, uuid

FOUR = Gpus(tuple(Gpu(index, uuid(index), "NVIDIA Test 4090", MEMORY) for index in range(4)))


@pytest.mark.parametrize("count", [1, 4])
def test_gpus_are_found_with_name_and_memory(fake_nvml: pytest.MonkeyPatch, count: int) -> None:
    fake_nvml.setenv("FAKE_NVML", str(count))
    assert find_gpus() == Gpus(FOUR.devices[:count])


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("0", "the NVIDIA driver knows no GPU"),
        ("no driver", "the NVIDIA driver cannot be asked for GPUs (Driver Not Loaded)"),
        ("no permission", "the NVIDIA driver cannot be asked for GPUs (Insufficient Permissions)"),
    ],
)
def test_no_gpu_has_a_reason(fake_nvml: pytest.MonkeyPatch, told: str, reason: str) -> None:
    fake_nvml.setenv("FAKE_NVML", told)
    assert find_gpus() == Gpus(reason=reason)


def test_a_lost_gpu_does_not_take_the_others_with_it(fake_nvml: pytest.MonkeyPatch) -> None:
    fake_nvml.setenv("FAKE_NVML", "lost:1/3")
    found = find_gpus()
    assert [gpu.index for gpu in found.devices] == [0, 2]
    assert found.reason == "GPU 1 cannot be used (GPU is lost)"


def test_without_the_library_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_gpus() == Gpus(reason="the library nvidia-ml-py is not installed")


def test_the_real_library_answers_one_way_or_the_other() -> None:
    found = find_gpus()
    assert found.devices or found.reason


@pytest.mark.parametrize(
    ("variable", "indices", "amiss"),
    [
        (None, [0, 1, 2, 3], False),
        ("2", [2], False),
        ("3,1", [3, 1], False),
        (uuid(1), [1], False),
        ("GPU-00000003", [3], False),
        ("", [], False),
        ("-1", [], False),
        ("0,7,1", [0], True),
        ("GPU-ffff", [], True),
    ],
)
def test_cuda_visible_devices_means_what_it_means_to_cuda(
    variable: str | None, indices: list[int], amiss: bool
) -> None:
    visible = FOUR.visible(variable)
    assert [gpu.index for gpu in visible.devices] == indices
    assert bool(visible.reason) is amiss
