"""Node types by name, imported only when asked for, so that planning loads no numeric library.

Further node types can be plugged in: CPU_ENGINE_NODES holds comma-separated `dotted.module:ClassName` entries, whose
class names are their node types.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module

from meshroom_tasks.cpu_engine.node import Node

_NODES = "meshroom_tasks.cpu_engine.nodes."
_MODULES = {
    "CameraInit": _NODES + "camera_init",
    "FeatureExtraction": _NODES + "feature_extraction",
    "ImageMatching": _NODES + "image_matching",
    "FeatureMatching": _NODES + "feature_matching",
    "StructureFromMotion": _NODES + "structure_from_motion",
    "PrepareDenseScene": _NODES + "prepare_dense_scene",
    "DepthMap": _NODES + "depth_map",
    "DepthMapFilter": _NODES + "depth_map_filter",
    "Meshing": _NODES + "meshing",
    "MeshFiltering": _NODES + "mesh_filtering",
    "Texturing": _NODES + "texturing",
}


def node_types() -> dict[str, str]:
    """Node type -> the module that holds its class, in the order of the pipeline."""
    plugged = [entry.strip() for entry in os.environ.get("CPU_ENGINE_NODES", "").split(",") if entry.strip()]
    return _MODULES | {name: module for module, _, name in (entry.partition(":") for entry in plugged)}


@cache
def node_of_type(node_type: str) -> Node:
    """The node of that type. Raises KeyError for a type that the engine does not have."""
    module = import_module(node_types()[node_type])
    cls = getattr(module, node_type)
    if not issubclass(cls, Node):
        raise TypeError(f"{module.__name__}.{node_type} is not a Node")
    node: Node = cls()
    return node
