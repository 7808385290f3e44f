from __future__ import annotations

import json

import pytest

from web.bodies import MAX_DEPTH, parse_json
from web.problems import MalformedJson, Refused, json_pointer


@pytest.mark.parametrize("text", ["{}", '{"a": [1, 2.5, "é", null, true]}', "[]", '"😀"', '{"a": {"a": 1}}'])
def test_ordinary_json_is_read_as_it_is(text: str) -> None:
    assert parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b"{} {}",
    ],
    ids=lambda data: data[:20].decode("latin-1"),
)
def test_what_is_not_json_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_json(data)


def nested(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


def test_nesting_is_bounded() -> None:
    parse_json(nested(MAX_DEPTH))
    with pytest.raises(Refused, match="cannot be kept"):
        parse_json(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ('{"a": {"b/c": ["x", "nul\\u0000"]}}', "/a/b~1c/1"),
        ('{"a": "\\ud800"}', "/a"),
        ('{"bad\\u0000key": 1}', ""),
    ],
)
def test_strings_that_databases_cannot_keep_are_refused_at_their_place(text: str, pointer: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_json(text.encode())
    assert caught.value.status == 422
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [((), ""), (("a", 0), "/a/0"), (("a/b", "c~d"), "/a~1b/c~0d"), (("settings", "x", "[key]"), "/settings/x")],
)
def test_json_pointers(parts: tuple[str | int, ...], pointer: str) -> None:
    assert json_pointer(parts) == pointer
