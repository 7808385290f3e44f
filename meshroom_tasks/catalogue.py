"""Which attributes of which node types a client may set, and to what: read from `pipelines/nodes.json`.

The catalogue is derived from graphs that Meshroom saved, since these state all inputs with their values:

    python -m meshroom_tasks.catalogue saved.mg [more.mg ...] > pipelines/nodes.json

Left out are links, paths, and whatever else is no plain word or number. That is a safety rule as well: Meshroom puts
the values into a command line that it then splits, and replaces `${NAME}` in them by its environment, so a text that a
client sets may consist of harmless characters only.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
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
    """One input of a node type. `members` are those of a group, by name; its default follows from theirs."""

    kind: Kind
    default: Any = None
    members: Mapping[str, Attribute] = field(default_factory=dict)

    def check(self, path: tuple[str, ...], value: Any) -> None:
        """Raises SettingInvalid, whose message begins with the path, when the value does not fit."""
        if not _FITS[self.kind](value):
            raise _refused(path, f"expected {_WORDS_FOR[self.kind]}, got {_shown(value)}")
        if self.kind == "group":
            check_all(path, self.members, value)


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
    """Node type -> attribute name -> Attribute."""

    def __init__(self, nodes: Mapping[str, Mapping[str, Attribute]]) -> None:
        self._nodes = nodes

    @classmethod
    def read(cls, text: str) -> Catalogue:
        return cls({node_type: _members(entries) for node_type, entries in json.loads(text).items()})

    def attributes(self, node_type: str) -> Mapping[str, Attribute]:
        """Empty for a node type that is not in the catalogue: nothing of it can be set."""
        return self._nodes.get(node_type, {})

    def check(self, node: str, node_type: str, values: Mapping[str, Any]) -> None:
        """Raises SettingInvalid; `node` is the name under which the client gave the values."""
        if not isinstance(values, Mapping):
            raise SettingInvalid(f"{node}: expected an object of attributes, got {_shown(values)}", node=node)
        check_all((node,), self.attributes(node_type), values)


def derive(graphs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The content of `nodes.json` from saved graphs; where they differ, the first one's value is the default."""
    nodes: dict[str, dict[str, Any]] = {}
    for text in graphs:
        for node in json.loads(text)["graph"].values():
            entries = nodes.setdefault(node["nodeType"], {})
            for name, value in node.get("inputs", {}).items():
                if name not in entries and (entry := _entry(value)) is not None:
                    entries[name] = entry
    return {node_type: dict(sorted(nodes[node_type].items())) for node_type in sorted(nodes)}


def _entry(value: Any) -> dict[str, Any] | None:
    """What is said of an attribute with this default; None when a client may not set it."""
    if isinstance(value, dict):
        members = {name: entry for name, item in value.items() if (entry := _entry(item)) is not None}
        return {"type": "group", "attributes": members} if members else None
    if isinstance(value, list) and not value:
        return None
    kind = next((kind for kind in ("bool", "int", "float", "string", "list") if _FITS[kind](value)), None)
    return {"type": kind, "default": value} if kind else None


def _members(entries: Mapping[str, Any]) -> dict[str, Attribute]:
    return {
        name: Attribute(entry["type"], entry.get("default"), _members(entry.get("attributes", {})))
        for name, entry in entries.items()
    }


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


def _refused(path: tuple[str, ...], reason: str) -> SettingInvalid:
    return SettingInvalid(f"{'.'.join(path)}: {reason}", node=path[0], attribute=".".join(path[1:]))


def _shown(value: Any) -> str:
    """A value as JSON, short."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."


if __name__ == "__main__":
    json.dump(derive(Path(name).read_text() for name in sys.argv[1:]), sys.stdout, indent=2)
    print()
