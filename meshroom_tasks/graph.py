"""Meshroom's graph files as values: templates (what a pipeline asks for) and planned graphs (what is to be computed).

A node's inputs hold constants and links, `{Node_1.attribute}`, also inside lists and groups. A link to another node's
output means that node's cache folder. A link to another node's *input* stands for whatever that input holds, so it is
followed to its own link. What a stage reads is the set of nodes found by this rule: usually more than its direct links,
and less than everything upstream. Both formats that Meshroom writes are read: `uids` (2023.3) and `uid` (2025.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from meshroom_tasks.errors import GraphInvalid

_LINK = re.compile(r"\{([A-Za-z]\w*)\.([A-Za-z][\w.\[\]]*)\}", re.ASCII)
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_UID = re.compile(r"[0-9A-Za-z]+")
_PARALLELIZATION = {"blockSize": 0, "split": 1, "size": 1}


@dataclass(frozen=True)
class TemplateNode:
    """A node of a template with its non-default inputs and links."""

    name: str
    node_type: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Template:
    """The nodes of a template, each after all those that it links to."""

    nodes: tuple[TemplateNode, ...]
    release: str

    def of_type(self, node_type: str) -> tuple[TemplateNode, ...]:
        return tuple(node for node in self.nodes if node.node_type == node_type)


@dataclass(frozen=True)
class PlannedStage:
    """One node to compute. `reads` names the stages whose folders it reads; whether it also reads the photos
    cannot be seen in a graph and stands in the stage policies.

    A stage that is not chunked has one chunk, and its files in the cache carry no chunk number.
    """

    name: str
    node_type: str
    uid: str
    chunked: bool
    chunk_count: int
    reads: tuple[str, ...]
    block_size: int = 0
    size: int = 1
    """Chunk i of a chunked stage handles items [i * block_size, (i + 1) * block_size) of its `size` items."""

    def view_count(self, chunk: int | None) -> int:
        """How many items (views, mostly) a chunk handles; None: the stage as a whole."""
        if chunk is None or not self.chunked:
            return self.size
        return max(0, min(self.block_size, self.size - chunk * self.block_size))


@dataclass(frozen=True)
class PlannedGraph:
    """The stages of a planned graph, each after all those that it reads. `release` is Meshroom's version string."""

    release: str
    stages: tuple[PlannedStage, ...]

    def stage(self, name: str) -> PlannedStage:
        """Raises KeyError for a name that is not in the graph."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


def parse_template(text: str) -> Template:
    """Raises GraphInvalid for what is no graph, for a link to an unknown node, and for a cycle."""
    release, nodes = _read(text)
    order = _order(nodes)
    return Template(
        tuple(TemplateNode(name, nodes[name]["nodeType"], nodes[name]["inputs"]) for name in order), release
    )


def parse_planned(text: str) -> PlannedGraph:
    """Raises GraphInvalid as `parse_template` does, and for a node without uid or chunk count."""
    release, nodes = _read(text)
    order = _order(nodes)
    return PlannedGraph(release, tuple(_stage(nodes, name, order) for name in order))


def node_inputs(text: str, name: str) -> Mapping[str, Any]:
    """The attributes of a planned graph's node, links as they stand; empty for a node that is not in it."""
    nodes = _read(text)[1]
    return _mapping(nodes[name], "inputs", name) if name in nodes else {}


def _read(text: str) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise GraphInvalid(f"the graph is not JSON ({error}); save it anew with Meshroom") from error
    graph = document.get("graph") if isinstance(document, dict) else None
    if not isinstance(graph, dict) or not graph:
        raise GraphInvalid("the file holds no graph; save it anew with Meshroom")
    for name, node in graph.items():
        if not isinstance(node, dict) or not _NAME.fullmatch(name):
            raise GraphInvalid(f"the graph's node {name!r} is not readable; save it anew with Meshroom")
        if not _NAME.fullmatch(str(node.get("nodeType", ""))):
            raise GraphInvalid(f"the graph's node {name} has no type; save it anew with Meshroom")
        node["inputs"] = _mapping(node, "inputs", name)
        node["outputs"] = _mapping(node, "outputs", name)
    header = document.get("header")
    release = header.get("releaseVersion") if isinstance(header, dict) else None
    return str(release or ""), graph


def _mapping(node: Mapping[str, Any], key: str, name: str) -> Mapping[str, Any]:
    value = node.get(key, {})
    if not isinstance(value, dict):
        raise GraphInvalid(f"the {key} of the graph's node {name} are not readable; save it anew with Meshroom")
    return value


def links_in(value: Any) -> Iterable[tuple[str, str]]:
    """(node, attribute) for every link in a value, whatever lists and groups it is in."""
    if isinstance(value, str):
        if found := _LINK.fullmatch(value):
            yield found[1], found[2]
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from links_in(item)


def _order(nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names in an order that depends on nothing but the graph: by distance from the first nodes, then by name."""
    linked = {name: {source for source, _ in links_in(node["inputs"])} for name, node in nodes.items()}
    for name, sources in linked.items():
        if unknown := sorted(sources - nodes.keys()):
            raise GraphInvalid(f"{name} links to {unknown[0]}, which is not in the graph; mend the link", node=name)
    try:
        order = list(TopologicalSorter(linked).static_order())
    except CycleError as error:
        path = " -> ".join(reversed(error.args[1]))
        raise GraphInvalid(f"the graph's nodes wait for each other: {path}; remove one of these links") from error
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[source] for source in linked[name]), default=0)
    return sorted(order, key=lambda name: (depth[name], name))


def _stage(nodes: Mapping[str, Mapping[str, Any]], name: str, order: list[str]) -> PlannedStage:
    node = nodes[name]
    uid = node.get("uid") or _mapping(node, "uids", name).get("0")
    parallelization = _mapping(node, "parallelization", name)
    block_size, split, size = (parallelization.get(key, default) for key, default in _PARALLELIZATION.items())
    if not isinstance(uid, str) or not _UID.fullmatch(uid):
        raise GraphInvalid(f"the planned graph gives {name} no uid; plan it anew", node=name)
    if not all(isinstance(number, int) for number in (block_size, split, size)) or split < 1:
        raise GraphInvalid(f"the planned graph does not say how many chunks {name} has; plan it anew", node=name)
    reads = {source for link in links_in(node["inputs"]) for source in _sources(nodes, *link)}
    return PlannedStage(
        name=name,
        node_type=node["nodeType"],
        uid=uid,
        chunked=block_size > 0,
        chunk_count=split,
        reads=tuple(sorted(reads, key=order.index)),
        block_size=block_size,
        size=size,
    )


def _sources(nodes: Mapping[str, Mapping[str, Any]], name: str, attribute: str) -> set[str]:
    """The nodes whose folders a link stands for: the named one for an output, for an input those that it links to.

    Ends, because the nodes form no cycle.
    """
    inputs, outputs = nodes[name]["inputs"], nodes[name]["outputs"]
    top = re.split(r"[.\[]", attribute)[0]
    if top not in inputs or attribute in outputs:
        return {name}
    return {source for link in links_in(inputs[top]) for source in _sources(nodes, *link)}
