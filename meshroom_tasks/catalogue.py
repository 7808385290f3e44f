"""Which attributes of which node types a client may set, and to what: read from `pipelines/nodes.json`.

    {"release": "2023.3.0", "nodes": {"FeatureExtraction": {
        "inputs": ["input", "masksFolder"],            what only a pipeline's links set
        "outputs": ["output"],
        "attributes": {"describerPreset": {"type": "string", "default": "normal", "choices": ["low", ...]}, ...}}}}

`derive_catalogue.py` writes it from Meshroom's own descriptions of its nodes. Left out of the attributes are paths and
whatever else is no plain word or number. That is a safety rule as well: Meshroom puts the values into a command line
that it then splits, and replaces `${NAME}` in them by its environment, so a text that a client sets may consist of
harmless characters only.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from meshroom_tasks.errors import SettingInvalid

Kind = Literal["bool", "int", "float", "string", "list", "group"]

MAX_TEXT = 100
MAX_ITEMS = 100
MAX_INT = 2**31 - 1
_WORD = re.compile(r"[A-Za-z0-9_.,:+][A-Za-z0-9_.,:+-]*")
_WORDS_FOR = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "string": f"a text of at most {MAX_TEXT} letters, digits and _ . , : + -",
    "list": f"a list of at most {MAX_ITEMS} texts of letters, digits and _ . , : + -",
    "group": "an object",
}


@dataclass(frozen=True)
class Attribute:
    """One input of a node type. `members` are those of a group, by name; its default follows from theirs.

    `choices`: the only values allowed (of a list: for its items); `minimum` and `maximum` are allowed too. None: no
    such limit. `invalidates`: whether Meshroom makes it part of the node's uid.
    """

    kind: Kind
    default: Any = None
    members: Mapping[str, Attribute] = field(default_factory=dict)
    choices: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    invalidates: bool = True

    def check(self, path: tuple[str, ...], value: Any) -> None:
        """Raises SettingInvalid, whose message begins with the path and names what is allowed."""
        if not fits(self.kind, value):
            raise _refused(path, f"expected {_WORDS_FOR[self.kind]}, got {_shown(value)}")
        if self.kind == "group":
            check_all(path, self.members, value)
        elif self.choices is not None:
            for item in value if self.kind == "list" else [value]:
                if item not in self.choices:
                    raise _refused(path, f"{_shown(item)} is not one of {_listed(self.choices)}", self.choices)
        elif not _within(value, self.minimum, self.maximum):
            raise _refused(path, f"{_shown(value)} is out of range; allowed: {self.minimum:g} to {self.maximum:g}")


@dataclass(frozen=True)
class NodeType:
    """What is known of a node type: what a client may set, and every name that a link may lead to."""

    attributes: Mapping[str, Attribute]
    inputs: frozenset[str]
    outputs: frozenset[str]

    @property
    def linkable(self) -> frozenset[str]:
        return self.inputs | self.outputs | self.attributes.keys()


def check_node(node: str, known: Mapping[str, Attribute], values: Any) -> None:
    """Raises SettingInvalid; `node` is the name under which the client gave the values."""
    if not isinstance(values, Mapping):
        raise SettingInvalid(f"{node}: expected an object of attributes, got {_shown(values)}", node=node)
    check_all((node,), known, values)


def check_all(path: tuple[str, ...], known: Mapping[str, Attribute], values: Mapping[str, Any]) -> None:
    """Check each value of a node or a group, whose name is the path's last part."""
    for name, value in values.items():
        if name not in known:
            raise _refused((*path, name), f"{path[-1]} has no such attribute to set{nearest(name, known)}")
        known[name].check((*path, name), value)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the nearest one that is, else all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(names)}" if names else "; it has none"


class Catalogue:
    """What is known of each node type of one release."""

    def __init__(self, nodes: Mapping[str, NodeType]) -> None:
        self._nodes = nodes

    @classmethod
    def read(cls, text: str) -> Catalogue:
        """Raises ValueError, KeyError, TypeError or AttributeError for what is no catalogue."""
        return cls(
            {
                name: NodeType(_members(entry["attributes"]), frozenset(entry["inputs"]), frozenset(entry["outputs"]))
                for name, entry in json.loads(text)["nodes"].items()
            }
        )

    def extended(self, more: Catalogue) -> Catalogue:
        """With the node types of `more`, which win."""
        return Catalogue({**self._nodes, **more._nodes})

    @property
    def node_types(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def node_type(self, name: str) -> NodeType | None:
        return self._nodes.get(name)

    def attributes(self, node_type: str) -> Mapping[str, Attribute]:
        """Empty for a node type that is not in the catalogue: nothing of it can be set."""
        known = self._nodes.get(node_type)
        return known.attributes if known else {}


def fits(kind: Kind, value: Any) -> bool:
    """Whether a value is of this kind, and harmless."""
    return _FITS[kind](value)


def _members(entries: Mapping[str, Any]) -> dict[str, Attribute]:
    return {name: _attribute(entry) for name, entry in entries.items()}


def _attribute(entry: Mapping[str, Any]) -> Attribute:
    minimum, maximum = entry.get("range", (None, None))
    return Attribute(
        kind=entry["type"],
        default=entry.get("default"),
        members=_members(entry.get("attributes", {})),
        choices=tuple(entry["choices"]) if "choices" in entry else None,
        minimum=minimum,
        maximum=maximum,
        invalidates=entry.get("invalidates", True),
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and bool(_WORD.fullmatch(value))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INT


_FITS: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": _is_int,
    "float": lambda value: _is_int(value) or (isinstance(value, float) and math.isfinite(value)),
    "string": _is_word,
    "list": lambda value: isinstance(value, list) and len(value) <= MAX_ITEMS and all(map(_is_word, value)),
    "group": lambda value: isinstance(value, Mapping),
}


def _within(value: Any, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def _listed(choices: Iterable[Any]) -> str:
    return ", ".join(map(str, choices))


def _refused(path: tuple[str, ...], reason: str, choices: Iterable[Any] | None = None) -> SettingInvalid:
    context: dict[str, Any] = {} if choices is None else {"allowed": list(choices)}
    return SettingInvalid(f"{'.'.join(path)}: {reason}", node=path[0], attribute=".".join(path[1:]), **context)


def _shown(value: Any) -> str:
    """A value as JSON, short."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
