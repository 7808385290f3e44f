"""Lower settings after memory ran out: a table."""

from __future__ import annotations

from typing import Any

import pytest

from meshroom_tasks.errors import GpuMemory, MemoryExhausted
from meshroom_tasks.relief import adjusted, lower_settings


@pytest.mark.parametrize(
    ("node_type", "values", "lowered"),
    [
        ("DepthMap", {"downscale": 1}, {"downscale": 2}),
        ("DepthMap", {"downscale": 2, "input": "{StructureFromMotion_1.output}"}, {"downscale": 4}),
        ("DepthMap", {"downscale": 16}, None),
        ("DepthMap", {"downscale": "{Other_1.downscale}"}, None),
        ("DepthMap", {}, None),
        ("Meshing", {"maxInputPoints": 50_000_000, "maxPoints": 5_000_000}, (25_000_000, 2_500_000)),
        ("Meshing", {"maxInputPoints": 100_000, "maxPoints": 15_000}, (None, 10_000)),
        ("Meshing", {"maxInputPoints": 1000, "maxPoints": 1000}, None),
        ("Texturing", {"textureSide": 8192, "downscale": 2}, {"textureSide": 4096}),
        ("Texturing", {"textureSide": 1024, "downscale": 2}, {"downscale": 4}),
        ("Texturing", {"textureSide": 512, "downscale": 8}, None),
        ("FeatureExtraction", {"describerPreset": "ultra"}, {"describerPreset": "high"}),
        ("FeatureExtraction", {"describerPreset": "low"}, None),
        ("FeatureExtraction", {"describerPreset": "unheard-of"}, None),
        ("StructureFromMotion", {"anything": 1}, None),
    ],
)
def test_lower_settings(node_type: str, values: dict[str, Any], lowered: Any) -> None:
    found = lower_settings(f"{node_type}_1", node_type, values, MemoryExhausted.code)
    if isinstance(lowered, tuple):
        pairs = zip(("maxInputPoints", "maxPoints"), lowered, strict=True)
        lowered = {name: value for name, value in pairs if value is not None}
    assert (None if found is None else found.values) == lowered
    if found is not None:
        assert found.message.startswith(f"{node_type} ran out of memory; it was run ")


def test_in_words() -> None:
    found = lower_settings("DepthMap_1", "DepthMap", {"downscale": 2}, GpuMemory.code)
    assert found is not None
    assert found.message == "DepthMap ran out of GPU memory; it was run at half the resolution"


def test_what_was_lowered_wins_over_what_was_asked_for() -> None:
    found = lower_settings("DepthMap_1", "DepthMap", {"downscale": 2}, GpuMemory.code)
    assert found is not None
    asked = {"DepthMap": {"downscale": 1}, "DepthMap_1": {"downscale": 2, "sgmMaxDepths": 100}}
    assert adjusted(asked, [found]) == {
        "DepthMap": {"downscale": 1},
        "DepthMap_1": {"downscale": 4, "sgmMaxDepths": 100},
    }
    assert adjusted({}, []) == {}
