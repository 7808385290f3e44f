"""From a template, settings and a folder of photos to a saved graph in the format of Meshroom 2023.3.

A uid is the SHA-1 of a node's type and version, the engine's version, its invalidating attributes and the uids of the
nodes that it reads; for CameraInit also the absolute paths of the photos in their order, their sizes and focal lengths.
It depends neither on the folder of the saved graph nor on the pixels of the photos: who needs that puts a digest into
the path.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from meshroom_tasks.cpu_engine import __version__, sensor_database
from meshroom_tasks.cpu_engine.attributes import Records
from meshroom_tasks.cpu_engine.links import (
    Graph,
    GraphError,
    GraphNode,
    follow,
    in_order,
    links_in,
    nested,
    parse_link,
    target,
)
from meshroom_tasks.cpu_engine.photos import find_photos, read_header, viewpoints_and_intrinsics
from meshroom_tasks.cpu_engine.template import apply_overrides, apply_texts, check_links, read_graph

FILE_VERSION = "1.1"
FORMAT_RELEASE = "2023.3.0"


def plan(template: Path, photos: Path, overrides: Any = None, settings: Iterable[str] = ()) -> dict[str, GraphNode]:
    """The complete graph for a folder of photos: all values set and checked, uids computed.

    Raises GraphError, template.InvalidSetting, photos.PhotoError.
    """
    graph = read_graph(template)
    apply_overrides(graph, overrides or {})
    apply_texts(graph, settings)
    check_links(graph)
    cameras = [node for node in graph.values() if node.node_type == "CameraInit"]
    if len(cameras) != 1:
        raise GraphError(f"the pipeline must have exactly one CameraInit, not {len(cameras)}")
    values = cameras[0].values
    sensors = sensor_database.read(os.path.expandvars(values["sensorDatabase"]))
    headers = [read_header(path.absolute(), sensors) for path in find_photos(photos)]
    values["viewpoints"], values["intrinsics"] = viewpoints_and_intrinsics(headers, values["defaultFieldOfView"])
    lowered = wanted_block_sizes(os.environ.get("ENGINE_BLOCK_SIZES", ""))
    for node in in_order(graph):
        node.uid = _uid(graph, node)
        node.block_size = min(node.block_size, lowered.get(node.node_type, node.block_size))
    return graph


def wanted_block_sizes(text: str) -> dict[str, int]:
    """`DepthMap=6,FeatureExtraction=12`: how many views a chunk holds at most, by node type."""
    pairs = (entry.partition("=") for entry in text.split(","))
    return {name.strip(): int(size) for name, _, size in pairs if size.strip().isdigit() and int(size) > 0}


def _uid(graph: Graph, node: GraphNode) -> str:
    """Needs the uids of everything upstream."""
    parts: list[Any] = [node.node_type, node.kind.version, __version__, node.invalidation]
    for name, declared in sorted(node.kind.flat_attributes().items()):
        if not declared.invalidates:
            continue
        value = follow(graph, node.values[name])
        if isinstance(declared, Records):
            value = [[record.get(key) for key in declared.identity] for record in value]
        parts.append([name, _with_uids(graph, value)])
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _with_uids(graph: Graph, value: Any) -> Any:
    """Links to outputs become the uid of their node and the name of the output, whatever the node is called."""
    if isinstance(value, list):
        return [_with_uids(graph, item) for item in value]
    link = parse_link(value)
    return value if link is None else [target(graph, link).uid, link.attribute]


def view_count(graph: Graph) -> int:
    """Number of views that CameraInit was given."""
    return sum(len(node.values["viewpoints"]) for node in graph.values() if node.node_type == "CameraInit")


def chunk_count(node: GraphNode, views: int) -> int:
    """Chunks that a node is cut into; 1 for a node that is not cut."""
    return max(1, math.ceil(views / node.block_size)) if node.block_size else 1


def saved_form(graph: Graph) -> dict[str, Any]:
    """The graph as Meshroom 2023.3 saves it, ready for JSON."""
    views = view_count(graph)
    columns = _columns(graph)
    return {
        "header": {
            "pipelineVersion": "2.2",
            "releaseVersion": FORMAT_RELEASE,
            "fileVersion": FILE_VERSION,
            "template": False,
            "nodesVersions": {node.node_type: node.kind.version for node in graph.values()},
            "engine": f"cpu-engine {__version__}",
        },
        "graph": {name: _saved_node(node, views, columns[name]) for name, node in graph.items()},
    }


def _saved_node(node: GraphNode, views: int, column: int) -> dict[str, Any]:
    return {
        "nodeType": node.node_type,
        "position": [200 * column, 0],
        "parallelization": {
            "blockSize": node.block_size,
            "size": views if node.kind.sized_by_views else 1,
            "split": chunk_count(node, views),
        },
        "uids": {"0": node.uid},
        "internalFolder": "{cache}/{nodeType}/{uid0}/",
        "inputs": nested(node.values),
        "internalInputs": {"invalidation": node.invalidation, "comment": "", "label": "", "color": ""},
        "outputs": {name: "{cache}/{nodeType}/{uid0}/" + path for name, path in node.kind.outputs.items()},
    }


def _columns(graph: Graph) -> dict[str, int]:
    """Depth of each node, for the layout in Meshroom's editor."""
    columns: dict[str, int] = {}
    for node in in_order(graph):
        upstream = [columns[link.node] for value in node.values.values() for link in links_in(value)]
        columns[node.name] = max(upstream, default=-1) + 1
    return columns


def save(graph: Graph, path: Path) -> None:
    """Write the saved graph; the file is there in full or not at all. Its folder must exist."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(saved_form(graph), indent=4), encoding="utf-8")
    temporary.replace(path)
