"""What to ask less of when a stage runs out of memory: the next lower sensible settings of each node type. Pure.

The result stays a model of all photos, a coarser one; what was lowered is recorded in the job and told as a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshroom_tasks.errors import GpuMemory
from meshroom_tasks.jobs.records import Adjustment

Settings = Mapping[str, Mapping[str, Any]]

_PRESETS = ("low", "medium", "normal", "high", "ultra")


def _doubled(most: int) -> Callable[[Any], Any]:
    return lambda value: min(most, 2 * int(value)) if int(value) < most else None


def _halved(least: int) -> Callable[[Any], Any]:
    return lambda value: max(least, int(value) // 2) if int(value) > least else None


def _next_preset(value: Any) -> Any:
    place = _PRESETS.index(value)
    return _PRESETS[place - 1] if place > 0 else None


@dataclass(frozen=True)
class _Measure:
    """Attributes that are lowered together, each by its function (None: it is at its end), and that in words."""

    lower: Mapping[str, Callable[[Any], Any]]
    words: str


_MEASURES: Mapping[str, tuple[_Measure, ...]] = {
    "FeatureExtraction": (_Measure({"describerPreset": _next_preset}, "with fewer features of each photo"),),
    "DepthMap": (_Measure({"downscale": _doubled(16)}, "at half the resolution"),),
    "Meshing": (
        _Measure({"maxInputPoints": _halved(100_000), "maxPoints": _halved(10_000)}, "with half as many points"),
    ),
    "Texturing": (
        _Measure({"textureSide": _halved(1024)}, "with textures of half the size"),
        _Measure({"downscale": _doubled(8)}, "from photos of half the resolution"),
    ),
}
"""In the order in which they are tried: the first one that can still lower something is taken."""


def lower_settings(node: str, node_type: str, values: Mapping[str, Any], code: str) -> Adjustment | None:
    """What to change in a node that failed with `code`; None where nothing is known to help.

    `values`: the node's attributes as they are. Those that are no number or word, such as links, are left alone.
    """
    kind = "GPU memory" if code == GpuMemory.code else "memory"
    for measure in _MEASURES.get(node_type, ()):
        lowered = {name: _lowered(lower, values.get(name)) for name, lower in measure.lower.items()}
        changed = {name: value for name, value in lowered.items() if value is not None}
        if changed:
            message = f"{node_type} ran out of {kind}; it was run {measure.words}"
            return Adjustment(node, node_type, code, changed, message)
    return None


def adjusted(settings: Settings, adjustments: Sequence[Adjustment]) -> dict[str, dict[str, Any]]:
    """A job's settings with what was lowered since, which wins: it is said of the node itself."""
    found = {name: dict(values) for name, values in settings.items()}
    for adjustment in adjustments:
        found[adjustment.node] = {**found.get(adjustment.node, {}), **adjustment.values}
    return found


def _lowered(lower: Callable[[Any], Any], value: Any) -> Any:
    try:
        return lower(value)
    except (TypeError, ValueError):
        return None
