from __future__ import annotations

from typing import Any

import pytest

from meshroom_tasks.cpu_engine.attributes import (
    Attribute,
    BoolParam,
    ChoiceList,
    ChoiceParam,
    FileList,
    FloatParam,
    Group,
    IntParam,
)

NUMBER = IntParam("n", "", 3, low=1, high=10)
RATIO = FloatParam("r", "", 0.5, high=1.0)
SWITCH = BoolParam("b", "")
CHOICE = ChoiceParam("c", "", "png", values=("png", "jpg"), refused={"exr": "8 bits only"})
SIDE = ChoiceParam("s", "", 4096, values=(1024, 4096))
LIST = ChoiceList("l", "", ("a",), values=("a", "b"), at_most=2)


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        (NUMBER, 1, 1),
        (NUMBER, 10, 10),
        (RATIO, 1, 1.0),
        (RATIO, 0.25, 0.25),
        (SWITCH, True, True),
        (CHOICE, "jpg", "jpg"),
        (SIDE, 1024, 1024),
        (LIST, "b", ["b"]),
        (LIST, ["b", "a"], ["a", "b"]),
        (FileList("f", ""), "x", ["x"]),
        (FileList("f", ""), ["x", "y"], ["x", "y"]),
    ],
)
def test_check_takes(attribute: Attribute, value: Any, expected: Any) -> None:
    found = attribute.check(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        (NUMBER, 0, "out of range, allowed: 1 to 10"),
        (NUMBER, 11, "out of range"),
        (NUMBER, 2.0, "whole number"),
        (NUMBER, True, "whole number"),
        (NUMBER, "3", "whole number"),
        (NUMBER, None, "whole number"),
        (RATIO, 1.5, "out of range"),
        (RATIO, float("nan"), "out of range"),
        (RATIO, "0.5", "expected a number"),
        (SWITCH, 1, "true or false"),
        (CHOICE, "tif", "allowed values: png, jpg"),
        (CHOICE, "exr", "8 bits only"),
        (CHOICE, ["png"], "allowed values"),
        (SIDE, "1024", "allowed values"),
        (SIDE, True, "allowed values"),
        (LIST, [], "expected a list"),
        (LIST, ["c"], "allowed values: a, b"),
        (LIST, [1], "allowed values"),
        (FileList("f", ""), [1], "list of paths"),
    ],
)
def test_check_refuses(attribute: Attribute, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        attribute.check(value)


@pytest.mark.parametrize(
    ("attribute", "text", "expected"),
    [
        (NUMBER, "7", 7),
        (RATIO, "0.5", 0.5),
        (SWITCH, "False", False),
        (SWITCH, "1", True),
        (CHOICE, "jpg", "jpg"),
        (SIDE, "1024", 1024),
        (LIST, "a, b", ["a", "b"]),
    ],
)
def test_parse(attribute: Attribute, text: str, expected: Any) -> None:
    assert attribute.parse(text) == expected


def test_too_many_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        ChoiceList("l", "", ("a",), values=("a", "b"), at_most=1).check(["a", "b"])


def test_group_members_have_dotted_names() -> None:
    group = Group("outer", "", members=(NUMBER, Group("inner", "", members=(SWITCH,))))
    assert dict(group.flat()) == {"outer.n": NUMBER, "outer.inner.b": SWITCH}
