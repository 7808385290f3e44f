"""Reading a JSON body strictly: whatever gets past here can be stored, and sent back exactly as it came."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from web.auth import caller
from web.problems import Fault, MalformedJson, Refused, json_pointer
from web.services import services
from web.slow_clients import in_time

MAX_BYTES = 1_000_000
MAX_DEPTH = 32

Path = tuple[str | int, ...]

_UNUSABLE = re.compile("[\0\ud800-\udfff]")


class StrictRequest(Request):
    """A request whose JSON is read by `parse_json`, and which asks for the right Content-Type."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The parsed body; an empty one reads as an empty object.

        Raises:
            RequestEntityTooLarge: It has more than `MAX_BYTES`.
            UnsupportedMediaType: The body is not declared as JSON, whatever `force` says.
            MalformedJson, Refused: See `parse_json`.
        """
        with services().reading.slot(caller().tenant), in_time():
            data = self.get_data(cache=cache)
        if self.content_length is None and len(data) >= MAX_BYTES:
            raise RequestEntityTooLarge  # werkzeug cuts a body that comes in chunks without a word.
        if not data:
            return {}
        if not self.is_json:
            raise UnsupportedMediaType
        return parse_json(data)


def parse_json(data: bytes) -> Any:
    """Parse UTF-8 JSON.

    Raises:
        MalformedJson: This is not JSON; NaN, infinities and repeated names are not either.
        Refused: It is nested deeper than `MAX_DEPTH`, or a string holds NUL or half a surrogate pair.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_repetition,
        )
    except json.JSONDecodeError as error:
        raise MalformedJson(
            f"the body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except UnicodeDecodeError as error:
        raise MalformedJson(f"the body is not UTF-8: see byte {error.start}") from error
    except RecursionError as error:
        raise MalformedJson(f"the body is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise MalformedJson(f"the body is not valid JSON: {error}") from error
    faults = [Fault(json_pointer(path), what) for path, what in _unusable(value)]
    if faults:
        raise Refused(422, "request_refused", "the body holds values that cannot be kept; see `errors`", faults[:20])
    return value


def _unusable(root: Any) -> Iterator[tuple[Path, str]]:
    waiting: list[tuple[Path, Any]] = [((), root)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            if _UNUSABLE.search(value):
                yield path, "a string must not hold NUL characters or halves of surrogate pairs"
        elif isinstance(value, dict | list):
            if len(path) >= MAX_DEPTH:
                yield path, f"nested deeper than {MAX_DEPTH} levels"
                continue
            members = value.items() if isinstance(value, dict) else enumerate(value)
            for key, member in members:
                waiting.append(((*path, key), member))
                if isinstance(key, str):
                    waiting.append((path, key))


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same name twice")
    return members


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")
