"""The few settings that most people want to change, in plain words; all others go by their names. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from meshroom_tasks.pipelines import Pipeline


@dataclass(frozen=True)
class Choice:
    value: Any
    label: str


@dataclass(frozen=True)
class ShownSetting:
    """One attribute of one node type, with the values to choose from."""

    node_type: str
    attribute: str
    title: str
    explanation: str
    default: Any
    choices: tuple[Choice, ...]


_WORDS: tuple[tuple[str, str, str, str, dict[Any, str]], ...] = (
    (
        "FeatureExtraction",
        "describerPreset",
        "Features in each photo",
        "More features help where photos show little texture. They take longer to find and to match.",
        {"low": "few", "medium": "fewer", "normal": "normal", "high": "many", "ultra": "as many as possible"},
    ),
    (
        "DepthMap",
        "downscale",
        "Detail of the shape",
        "At which size of the photos depth is measured. Full size takes about four times as long as half.",
        {1: "full size", 2: "half size", 4: "quarter size", 8: "an eighth"},
    ),
    (
        "Meshing",
        "maxPoints",
        "Points of the mesh",
        "Upper bound; more points keep finer shape, and make a larger file.",
        {50_000: "50,000", 200_000: "200,000", 1_000_000: "1 million", 5_000_000: "5 million"},
    ),
    (
        "Texturing",
        "textureSide",
        "Size of a texture",
        "Pixels on each side of the picture that covers the model.",
        {1024: "1,024", 2048: "2,048", 4096: "4,096", 8192: "8,192"},
    ),
    (
        "Texturing",
        "downscale",
        "Sharpness of the texture",
        "At which size of the photos colours are taken.",
        {1: "full size", 2: "half size", 4: "quarter size", 8: "an eighth"},
    ),
)


def shown_settings(pipeline: Pipeline) -> Iterator[ShownSetting]:
    """Those of the pipeline's nodes, with the defaults that hold in it."""
    nodes = {node.node_type: node for node in reversed(pipeline.template.nodes)}
    for node_type, name, title, explanation, words in _WORDS:
        if node_type not in nodes or (known := pipeline.attributes(nodes[node_type]).get(name)) is None:
            continue
        fits = [
            value
            for value in words
            if (known.choices is None or value in known.choices)
            and (known.minimum is None or value >= known.minimum)
            and (known.maximum is None or value <= known.maximum)
        ]
        choices = [Choice(value, words[value]) for value in fits]
        if known.default not in fits:
            choices.append(Choice(known.default, _plain(known.default)))
            if all(isinstance(choice.value, int) for choice in choices):
                choices.sort(key=lambda choice: int(choice.value))
        yield ShownSetting(node_type, name, title, explanation, known.default, tuple(choices))


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
