from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FAKE_NVML = Path(__file__).parents[1] / "fake_nvml"


@pytest.fixture
def fake_nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The fake library in the place of the real one, here and in all processes started from here."""
    monkeypatch.syspath_prepend(str(FAKE_NVML))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(FAKE_NVML), os.environ.get("PYTHONPATH")))))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    sys.modules.pop("pynvml", None)
    yield monkeypatch
    sys.modules.pop("pynvml", None)
