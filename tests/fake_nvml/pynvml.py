"""What the library nvidia-ml-py offers and the service asks for, on a machine without a GPU.

`FAKE_NVML` says what there is: a number of GPUs; or `no driver`, `no permission`; or `lost:I/N`, N GPUs of which
number I does not answer. It stands in for the driver's library, which cannot run without its hardware.
"""

import os
from types import SimpleNamespace

MEMORY = 24 * 2**30


class NVMLError(Exception):
    pass


def uuid(index: int) -> str:
    return f"GPU-{index:08x}-0000-0000-0000-000000000000"


def nvmlInit() -> None:  # noqa: N802
    told = os.environ["FAKE_NVML"]
    if told == "no driver":
        raise NVMLError("Driver Not Loaded")
    if told == "no permission":
        raise NVMLError("Insufficient Permissions")


def nvmlShutdown() -> None:  # noqa: N802
    pass


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return int(os.environ["FAKE_NVML"].rpartition("/")[2])


def nvmlDeviceGetHandleByIndex(index: int) -> int:  # noqa: N802
    if os.environ["FAKE_NVML"].startswith(f"lost:{index}/"):
        raise NVMLError("GPU is lost")
    return index


def nvmlDeviceGetUUID(handle: int) -> str:  # noqa: N802
    return uuid(handle)


def nvmlDeviceGetName(handle: int) -> bytes:  # noqa: N802
    return b"NVIDIA Test 4090"


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:  # noqa: N802
    return SimpleNamespace(total=MEMORY, used=0, free=MEMORY)
