"""References between the nodes of a graph: `{Node_1.attr}` as a whole value or as an item of a list.

A link to an output stands for a path in that node's folder; a link to an input stands for whatever that input holds,
which may be a link again. Pure functions over a graph held as plain values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshroom_tasks.cpu_engine.node import Node

_LINK = re.compile(r"\{(\w+)\.(\w+(?:\.\w+)*)\}")


class GraphError(ValueError):
    """The graph itself is wrong: a link to nowhere, a cycle, a file that is no graph."""


class Link(NamedTuple):
    """A reference to an input or an output of another node."""

    node: str
    attribute: str


@dataclass
class GraphNode:
    """A node of a graph. `values` holds all inputs under dotted names, links unresolved; `uid` is set by planning."""

    name: str
    kind: Node
    values: dict[str, Any]
    uid: str = ""
    invalidation: str = ""
    """Free text that is part of the uid (Meshroom's internal attribute of that name)."""
    block_size: int = 0
    """Views per chunk; 0: the node is not cut. Chosen by planning, and kept in the saved graph."""

    @property
    def node_type(self) -> str:
        return self.kind.node_type


Graph = Mapping[str, GraphNode]


def parse_link(value: Any) -> Link | None:
    """The link that a value is, or None for a plain value."""
    if isinstance(value, str) and (match := _LINK.fullmatch(value)):
        return Link(match[1], match[2])
    return None


def links_in(value: Any) -> Iterator[Link]:
    """All links in a value: itself, or items of the list that it is."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if (link := parse_link(item)) is not None:
            yield link


def target(graph: Graph, link: Link) -> GraphNode:
    """The node that a link names. Raises GraphError when there is no such node or attribute."""
    node = graph.get(link.node)
    if node is None:
        raise GraphError(f"the link {{{link.node}.{link.attribute}}} names no node of the graph")
    if link.attribute not in node.values and link.attribute not in node.kind.outputs:
        raise GraphError(f"the link {{{link.node}.{link.attribute}}} names no attribute of {node.node_type}")
    return node


def follow(graph: Graph, value: Any, _seen: tuple[Link, ...] = ()) -> Any:
    """The value with links to inputs replaced by what those hold; links to outputs stay as they are."""
    if isinstance(value, list | tuple):
        items: list[Any] = []
        for item in value:
            found = follow(graph, item, _seen)
            items.extend(found if isinstance(found, list) and parse_link(item) else [found])
        return items
    link = parse_link(value)
    if link is None:
        return value
    if link in _seen:
        raise GraphError(f"the link {{{link.node}.{link.attribute}}} leads back to itself")
    node = target(graph, link)
    if link.attribute in node.values:
        return follow(graph, node.values[link.attribute], (*_seen, link))
    return value


def in_order(graph: Graph) -> list[GraphNode]:
    """The nodes so that each comes after those it reads. Raises GraphError for a cycle or a link to nowhere."""
    upstream = {
        name: {link.node for value in node.values.values() for link in links_in(value) if target(graph, link)}
        for name, node in graph.items()
    }
    done: dict[str, GraphNode] = {}
    while len(done) < len(graph):
        ready = [name for name in graph if name not in done and upstream[name] <= done.keys()]
        if not ready:
            left = ", ".join(sorted(set(graph) - set(done)))
            raise GraphError(f"the nodes {left} wait for each other in a circle")
        done |= {name: graph[name] for name in ready}
    return list(done.values())


def output_path(graph: Graph, node: GraphNode, output: str, cache: str) -> str:
    """The path of an output, `cache` being the folder that holds the node types' folders."""
    name = re.sub(
        r"\{(\w+)Value\}",
        lambda match: str(follow(graph, node.values[match[1]])),
        node.kind.outputs[output],
    )
    return f"{cache}/{node.node_type}/{node.uid}/{name}"


def resolve(graph: Graph, value: Any, cache: str) -> Any:
    """The value with all links replaced: by paths for outputs, by what they hold for inputs."""
    found = follow(graph, value)
    if isinstance(found, list):
        return [resolve(graph, item, cache) for item in found]
    link = parse_link(found)
    return found if link is None else output_path(graph, target(graph, link), link.attribute, cache)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to nested objects: {"sgm.scale": 2} -> {"sgm": {"scale": 2}}."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, leaf = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[leaf] = value
    return tree
