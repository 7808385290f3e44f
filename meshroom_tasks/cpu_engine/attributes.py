"""Declared attributes of a node: name, default, what values are allowed, and whether a change makes results stale.

Each attribute carries Meshroom's own name. `check` takes a value from JSON and returns it normalised, or raises
ValueError with a reason that completes the sentence "Invalid setting: Node.attribute: ...". `parse` does the same for
text from a command line. Links (`{Node_1.attr}`) are not values; they are resolved before anything is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Attribute:
    """Base of all attributes. `default` may be left out where the node cannot run without a link (files)."""

    name: str
    doc: str
    default: Any = None
    invalidates: bool = True
    """False: the results are the same whatever the value, so it is no part of the uid."""

    def check(self, value: Any) -> Any:
        raise NotImplementedError

    def parse(self, text: str) -> Any:
        return self.check(text)

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        raise NotImplementedError

    def flat(self, prefix: str = "") -> Iterable[tuple[str, Attribute]]:
        """This attribute under its dotted name; a group yields its members instead."""
        yield prefix + self.name, self


@dataclass(frozen=True)
class File(Attribute):
    """A path: of a file or a folder, most often a link to another node's output."""

    default: Any = ""

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected a path, got {_shown(value)}")
        return value

    @property
    def allowed(self) -> str:
        return "a path"


@dataclass(frozen=True)
class FileList(Attribute):
    """A list of paths."""

    default: Any = ()

    def check(self, value: Any) -> list[str]:
        if isinstance(value, str):
            return [value] if value else []
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"expected a list of paths, got {_shown(value)}")
        return list(value)

    @property
    def allowed(self) -> str:
        return "a list of paths"


@dataclass(frozen=True)
class BoolParam(Attribute):
    default: bool = False

    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, got {_shown(value)}")
        return value

    def parse(self, text: str) -> bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in words:
            raise ValueError(f"expected true or false, got {_shown(text)}")
        return words[text.lower()]

    @property
    def allowed(self) -> str:
        return "true, false"


@dataclass(frozen=True)
class IntParam(Attribute):
    """A whole number from `low` to `high`, both included."""

    default: int = 0
    low: int = 0
    high: int = 2**31 - 1

    def check(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"expected a whole number, got {_shown(value)}")
        _check_range(value, self.low, self.high)
        return value

    def parse(self, text: str) -> int:
        return self.check(_number(text, int, "a whole number"))

    @property
    def allowed(self) -> str:
        return f"whole numbers from {self.low} to {self.high}"


@dataclass(frozen=True)
class FloatParam(Attribute):
    """A number from `low` to `high`, both included."""

    default: float = 0.0
    low: float = 0.0
    high: float = 1e9

    def check(self, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"expected a number, got {_shown(value)}")
        _check_range(value, self.low, self.high)
        return float(value)

    def parse(self, text: str) -> float:
        return self.check(_number(text, float, "a number"))

    @property
    def allowed(self) -> str:
        return f"numbers from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class ChoiceParam(Attribute):
    """One of `values`. `refused` names values of Meshroom that this engine does not honour, each with the reason."""

    default: Any = ""
    values: tuple[Any, ...] = ()
    refused: Mapping[Any, str] | None = None

    def check(self, value: Any) -> Any:
        if any(value == allowed and type(value) is type(allowed) for allowed in self.values):
            return value
        if isinstance(value, str) and self.refused and value in self.refused:
            raise ValueError(f"{_shown(value)} is not supported: {self.refused[value]}; allowed: {self.allowed}")
        raise ValueError(f"{_shown(value)} is not one of the allowed values: {self.allowed}")

    def parse(self, text: str) -> Any:
        return self.check(next((value for value in self.values if str(value) == text), text))

    @property
    def allowed(self) -> str:
        return ", ".join(str(value) for value in self.values)


@dataclass(frozen=True)
class ChoiceList(Attribute):
    """Up to `at_most` of `values`; a single value may stand without brackets."""

    default: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    at_most: int = 1

    def check(self, value: Any) -> list[str]:
        chosen = [value] if isinstance(value, str) else value
        if not isinstance(chosen, list | tuple) or not chosen:
            raise ValueError(f"expected a list of values, got {_shown(value)}; allowed: {self.allowed}")
        for item in chosen:
            if item not in self.values:
                raise ValueError(f"{_shown(item)} is not one of the allowed values: {self.allowed}")
        if len(set(chosen)) > self.at_most:
            raise ValueError(f"{_shown(value)} is too long, at most {self.at_most} of: {self.allowed}")
        return [value for value in self.values if value in chosen]

    def parse(self, text: str) -> list[str]:
        return self.check([item.strip() for item in text.split(",")])

    @property
    def allowed(self) -> str:
        return ", ".join(self.values)


@dataclass(frozen=True)
class Records(Attribute):
    """A list of JSON objects that planning fills in, such as CameraInit's viewpoints; not for clients to set."""

    default: Any = ()
    identity: tuple[str, ...] = ()
    """The keys of a record that are part of the uid."""

    def check(self, value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"expected a list, got {_shown(value)}")
        return list(value)

    @property
    def allowed(self) -> str:
        return "filled in by planning"


@dataclass(frozen=True)
class Group(Attribute):
    """Attributes under a common name; values are nested objects, also addressed as `group.member`."""

    members: tuple[Attribute, ...] = ()

    def flat(self, prefix: str = "") -> Iterable[tuple[str, Attribute]]:
        for member in self.members:
            yield from member.flat(f"{prefix}{self.name}.")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_range(value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{value:g} is out of range, allowed: {low:g} to {high:g}")


def _number(text: str, kind: type, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"expected {what}, got {_shown(text)}") from None
