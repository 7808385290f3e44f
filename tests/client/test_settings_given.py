"""`--set` on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from meshroom_tasks.terminal.settings_given import parse_settings


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ([], {}),
        (["Texturing.textureSide=2048"], {"Texturing": {"textureSide": 2048}}),
        (["A.x=1.5", "A.y=true", "B.z=null"], {"A": {"x": 1.5, "y": True}, "B": {"z": None}}),
        (["A.preset=high"], {"A": {"preset": "high"}}),
        (['A.preset="2048"'], {"A": {"preset": "2048"}}),
        (["A.list=[1, 2]"], {"A": {"list": [1, 2]}}),
        (["A.group.x=1", "A.group.y=2"], {"A": {"group": {"x": 1, "y": 2}}}),
        (["A.text=a=b"], {"A": {"text": "a=b"}}),
        (["A.empty="], {"A": {"empty": ""}}),
        (["A.x=1", "A.x=2"], {"A": {"x": 2}}),
    ],
)
def test_settings(given: list[str], settings: dict[str, Any]) -> None:
    assert parse_settings(given) == settings


@pytest.mark.parametrize("text", ["", "A", "A.x", "A=1", ".x=1", "A.=1", "A..x=1"])
def test_what_is_no_setting(text: str) -> None:
    with pytest.raises(ValueError, match=r"Node\.attribute=value"):
        parse_settings([text])


def test_a_value_is_no_group() -> None:
    with pytest.raises(ValueError, match="value of its own"):
        parse_settings(["A.x=1", "A.x.y=2"])
