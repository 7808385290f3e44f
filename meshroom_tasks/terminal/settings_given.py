"""`--set Texturing.textureSide=2048` as the `settings` of a request. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def parse_settings(given: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`Node.attribute=value`, or `Node.group.attribute=value`; a value that is no JSON is taken as text.

    Raises ValueError with a sentence that says what is wrong.
    """
    settings: dict[str, Any] = {}
    for text in given:
        place, equals, value = text.partition("=")
        names = place.split(".")
        if not equals or len(names) < 2 or not all(names):
            raise ValueError(f"{text!r} is not of the form Node.attribute=value, as Texturing.textureSide=2048")
        group = settings
        for name in names[:-1]:
            group = group.setdefault(name, {})
            if not isinstance(group, dict):
                raise ValueError(f"{text!r}: {name} has a value of its own already")
        group[names[-1]] = _value(value)
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
