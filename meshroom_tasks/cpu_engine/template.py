"""Graphs from `.mg` files and settings: every attribute declared, every value checked, every link leading somewhere.

All refusals are an `InvalidSetting`, whose text names the node type, the attribute, the reason and the way out.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from meshroom_tasks.cpu_engine.attributes import Attribute, File, FileList, Records
from meshroom_tasks.cpu_engine.links import Graph, GraphError, GraphNode, follow, links_in, target
from meshroom_tasks.cpu_engine.node import Node
from meshroom_tasks.cpu_engine.registry import node_of_type, node_types

_SETTING = re.compile(r"(?:(?P<type>\w+):|(?P<name>\w+)\.)(?P<attribute>[\w.]+)=(?P<value>.*)", re.DOTALL)


class InvalidSetting(ValueError):
    """A node, an attribute or a value that the engine does not take."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Invalid setting: {where}: {reason}")


def find_template(pipeline: str) -> Path:
    """The `.mg` file that a pipeline's name or path means. Raises GraphError when there is none.

    Names are looked up in the folders of MESHROOM_PIPELINE_TEMPLATES_PATH, then in `pipelines/` of the project.
    """
    if pipeline.endswith(".mg"):
        candidates = [Path(pipeline)]
    else:
        folders = [Path(f) for f in os.environ.get("MESHROOM_PIPELINE_TEMPLATES_PATH", "").split(os.pathsep) if f]
        candidates = [folder / f"{pipeline}.mg" for folder in (*folders, Path(__file__).parents[2] / "pipelines")]
    for path in candidates:
        if path.is_file():
            return path
    raise GraphError(f"no pipeline {pipeline!r}: looked for {', '.join(map(str, candidates))}")


def read_graph(path: Path) -> dict[str, GraphNode]:
    """Read a template or a saved graph. Raises GraphError, InvalidSetting."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content.get("graph", content)
        return {name: _node(name, entry) for name, entry in entries.items() if name != "header"}
    except InvalidSetting:
        raise
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise GraphError(f"{path} is not a graph: {error}") from error


def _node(name: str, entry: Mapping[str, Any]) -> GraphNode:
    kind = _kind(entry["nodeType"])
    values = {attribute: declared.default for attribute, declared in kind.flat_attributes().items()}
    node = GraphNode(
        name=name,
        kind=kind,
        values={attribute: list(value) if isinstance(value, tuple) else value for attribute, value in values.items()},
        uid=entry.get("uids", {}).get("0", ""),
        invalidation=entry.get("internalInputs", {}).get("invalidation", ""),
        block_size=_block_size(kind, entry),
    )
    for attribute, value in _flat(kind, entry.get("inputs", {})):
        if any(links_in(value)):
            _declared(kind, attribute)
            node.values[attribute] = value
        else:
            node.values[attribute] = _checked(kind, attribute, value)
    return node


def _block_size(kind: Node, entry: Mapping[str, Any]) -> int:
    """What the graph was planned with; of a template, the node type's own."""
    saved = entry.get("parallelization", {}).get("blockSize", 0)
    return saved if kind.block_size and isinstance(saved, int) and saved > 0 else kind.block_size


def _kind(node_type: str) -> Node:
    try:
        return node_of_type(node_type)
    except KeyError:
        known = node_types()
        raise InvalidSetting(node_type, f"unknown node type{_nearest(node_type, known)}") from None


def check_links(graph: Graph) -> None:
    """Every link leads to a declared attribute, and what it brings is allowed where it arrives."""
    for node in graph.values():
        declared = node.kind.flat_attributes()
        for name, value in node.values.items():
            if not any(links_in(value)):
                continue
            try:
                found = follow(graph, value)
                for link in links_in(value):
                    target(graph, link)
            except GraphError as error:
                raise InvalidSetting(f"{node.node_type}.{name}", str(error)) from error
            if any(links_in(found)) and not isinstance(declared[name], File | FileList):
                raise InvalidSetting(f"{node.node_type}.{name}", "cannot be linked to a file")
            if not any(links_in(found)):
                _checked(node.kind, name, found)


def apply_overrides(graph: Graph, overrides: Any) -> None:
    """Set attributes: {"NodeType or Node_1": {"attr": value}}; a node's own entry wins over that of its type."""
    if not isinstance(overrides, dict) or not all(isinstance(values, dict) for values in overrides.values()):
        raise InvalidSetting(
            "overrides", 'expected an object such as {"FeatureExtraction": {"describerPreset": "high"}}'
        )
    for key in sorted(overrides, key=lambda key: key in graph):
        for node in _nodes_called(graph, key):
            for name, value in _flat(node.kind, overrides[key]):
                _refuse_path(node.kind, name)
                node.values[name] = _checked(node.kind, name, value)


def apply_texts(graph: Graph, settings: Iterable[str]) -> None:
    """Set attributes from a command line: `NodeType:attr=value` or `Node_1.attr=value`."""
    for text in settings:
        match = _SETTING.fullmatch(text)
        if match is None:
            raise InvalidSetting(text, "expected NodeType:attribute=value or Node_1.attribute=value")
        name = match["attribute"]
        for node in _nodes_called(graph, match["type"] or match["name"]):
            _refuse_path(node.kind, name)
            try:
                node.values[name] = _declared(node.kind, name).parse(match["value"])
            except ValueError as error:
                raise InvalidSetting(f"{node.node_type}.{name}", str(error)) from None


def _nodes_called(graph: Graph, key: str) -> list[GraphNode]:
    found = [node for node in graph.values() if key in (node.name, node.node_type)]
    if not found:
        known = {*graph, *(node.node_type for node in graph.values())}
        raise InvalidSetting(key, f"the pipeline has no such node{_nearest(key, known)}")
    return found


def _flat(kind: Node, values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Nested objects to dotted names, as far as the node declares groups of that name."""
    declared = kind.flat_attributes()
    for name, value in values.items():
        dotted = prefix + name
        if isinstance(value, dict) and any(other.startswith(dotted + ".") for other in declared):
            yield from _flat(kind, value, dotted + ".")
        else:
            yield dotted, value


def _declared(kind: Node, name: str) -> Attribute:
    declared = kind.flat_attributes()
    if name not in declared:
        raise InvalidSetting(
            f"{kind.node_type}.{name}",
            f"this engine has no such attribute{_nearest(name, declared)}",
        )
    return declared[name]


def _checked(kind: Node, name: str, value: Any) -> Any:
    declared = _declared(kind, name)
    try:
        return declared.check(value)
    except ValueError as error:
        raise InvalidSetting(f"{kind.node_type}.{name}", str(error)) from None


def _refuse_path(kind: Node, name: str) -> None:
    """Which files a node reads is the pipeline's affair: a setting must not reach other files of the machine."""
    if isinstance(_declared(kind, name), File | FileList | Records):
        raise InvalidSetting(f"{kind.node_type}.{name}", "is set by the pipeline's links, not by a setting")


def _nearest(name: str, known: Iterable[str]) -> str:
    """The nearest names, or all of them where none is near."""
    choices = sorted(known)
    folded = {choice.lower(): choice for choice in choices}
    near = [folded[match] for match in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.6)]
    if near:
        return f"; did you mean {', '.join(near)}?"
    return f"; there are: {', '.join(choices)}" if choices else ""
