"""The GPUs of this machine, as the driver names them; no CUDA is touched, so a process may fork afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One device. `index` is its place in PCI order, `uuid` its name wherever it is plugged in."""

    index: int
    uuid: str
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Gpus:
    """What was found, and, where it is not all that should be there, why: "" when nothing is amiss."""

    devices: tuple[Gpu, ...] = ()
    reason: str = ""

    def visible(self, cuda_visible_devices: str | None) -> Gpus:
        """Those that CUDA_VISIBLE_DEVICES leaves: indices or UUIDs, also shortened; as in CUDA, what follows the
        first unknown one is ignored. None: all."""
        if cuda_visible_devices is None:
            return self
        chosen: list[Gpu] = []
        for word in (part.strip() for part in cuda_visible_devices.split(",")):
            found = next((gpu for gpu in self.devices if _is_meant(gpu, word)), None)
            if found is None:
                reason = self.reason or f"CUDA_VISIBLE_DEVICES names {word!r}, which is no GPU of this machine"
                return Gpus(tuple(chosen), reason if word not in ("", "-1") else self.reason)
            chosen.append(found)
        return Gpus(tuple(chosen), self.reason)


def find_gpus() -> Gpus:
    """Ask the driver. Never raises: without library, driver or permission there is none, and a reason."""
    try:
        import pynvml as nvml
    except ImportError:
        return Gpus(reason="the library nvidia-ml-py is not installed")
    try:
        with _session(nvml):
            return _devices(nvml)
    except nvml.NVMLError as error:
        return Gpus(reason=f"the NVIDIA driver cannot be asked for GPUs ({error})")


@contextlib.contextmanager
def _session(nvml: Any) -> Iterator[None]:
    nvml.nvmlInit()
    try:
        yield
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _devices(nvml: Any) -> Gpus:
    found, reason = [], ""
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, name = _text(nvml.nvmlDeviceGetUUID(device)), _text(nvml.nvmlDeviceGetName(device))
            found.append(Gpu(index, uuid, name, int(nvml.nvmlDeviceGetMemoryInfo(device).total)))
        except nvml.NVMLError as error:  # One that has fallen off the bus does not take the others with it.
            reason = f"GPU {index} cannot be used ({error})"
    return Gpus(tuple(found), reason or ("" if found else "the NVIDIA driver knows no GPU"))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _is_meant(gpu: Gpu, word: str) -> bool:
    return word == str(gpu.index) or (word.startswith("GPU-") and gpu.uuid.startswith(word))
