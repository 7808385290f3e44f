"""A template becomes a planned graph in the format of Meshroom 2023.3."""

import json
import os
from hashlib import sha1

import acts

BLOCK_SIZES = {
    "FeatureExtraction": 40,
    "FeatureMatching": 20,
    "PrepareDenseScene": 40,
    "DepthMap": 12,
    "DepthMapFilter": 24,
}
OUTPUTS = {
    "CameraInit": {"output": "cameraInit.sfm"},
    "FeatureExtraction": {"output": ""},
    "ImageMatching": {"output": "imageMatches.txt"},
    "FeatureMatching": {"output": ""},
    "StructureFromMotion": {"output": "sfm.abc", "outputViewsAndPoses": "cameras.sfm", "extraInfoFolder": ""},
    "PrepareDenseScene": {"output": ""},
    "DepthMap": {"output": ""},
    "DepthMapFilter": {"output": ""},
    "Meshing": {"outputMesh": "mesh.obj", "output": "densePointCloud.abc"},
    "MeshFiltering": {"outputMesh": "mesh.obj"},
    "Texturing": {"output": "", "outputMesh": "texturedMesh.obj", "outputMaterial": "texturedMesh.mtl"},
}
PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


def plan(script, options):
    actions = script.get("plan", {})
    acts.before(actions, None)
    failure = actions.get("fail")
    if failure:
        print("\n".join(failure.get("lines", [])))
        return failure.get("exit", 1)
    with open(options["pipeline"]) as file:
        template = json.load(file)["graph"]
    nodes = {
        name: {"nodeType": node["nodeType"], "inputs": dict(node.get("inputs", {}))} for name, node in template.items()
    }
    photos = list_photos(options["input"])
    for node in nodes.values():
        if node["nodeType"] == "CameraInit":
            node["inputs"]["viewpoints"] = [
                {"viewId": int(sha1(path.encode()).hexdigest()[:7], 16), "path": path} for path in photos
            ]
    if "overrides" in options:
        with open(options["overrides"]) as file:
            if not apply_overrides(nodes, json.load(file)):
                return 1
    block_sizes = {**BLOCK_SIZES, **script.get("block_sizes", {})}
    for entry in filter(None, os.environ.get("ENGINE_BLOCK_SIZES", "").split(",")):
        node_type, size = entry.split("=")
        block_sizes[node_type] = min(block_sizes.get(node_type, 0), int(size))
    uids = {}
    graph = {name: planned(nodes, name, len(photos), block_sizes, uids) for name in nodes}
    header = {"releaseVersion": "2023.3.0", "fileVersion": "1.1", "template": False}
    with open(options["save"], "w") as file:
        json.dump({"header": header, "graph": graph}, file, indent=4)
    return 0


def list_photos(folder):
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(PHOTO_ENDINGS))
    return [os.path.join(os.path.abspath(folder), name) for name in names]


def apply_overrides(nodes, overrides):
    for name, attributes in overrides.items():
        if name not in nodes:
            print(f"Invalid setting: there is no node {name}")
            return False
        for attribute, value in attributes.items():
            inputs = nodes[name]["inputs"]
            if isinstance(value, dict) and isinstance(inputs.get(attribute), dict):
                value = {**inputs[attribute], **value}
            inputs[attribute] = value
    return True


def planned(nodes, name, photo_count, block_sizes, uids):
    node_type = nodes[name]["nodeType"]
    block_size = block_sizes.get(node_type, 0)
    split = -(-photo_count // block_size) if block_size else 1
    folder = "{cache}/{nodeType}/{uid0}/"
    return {
        "nodeType": node_type,
        "parallelization": {"blockSize": block_size, "size": photo_count, "split": max(1, split)},
        "uids": {"0": uid_of(nodes, name, uids)},
        "internalFolder": folder,
        "inputs": nodes[name]["inputs"],
        "outputs": {key: folder + value for key, value in OUTPUTS.get(node_type, {"output": ""}).items()},
    }


def uid_of(nodes, name, uids):
    """The name of what is asked for: type, attributes, and for a link the uid that it comes from."""
    if name not in uids:
        stated = []
        for key, value in sorted(nodes[name]["inputs"].items()):
            stated += [key, [uid_of(nodes, source, uids) for source, _ in links(value)] or value]
        uids[name] = sha1(json.dumps([nodes[name]["nodeType"], stated], sort_keys=True).encode()).hexdigest()
    return uids[name]


def links(value):
    """(node, attribute) for every `{Node.attribute}` within a value."""
    if isinstance(value, str) and value.startswith("{") and value.endswith("}") and "." in value:
        return [tuple(value[1:-1].split(".", 1))]
    if isinstance(value, dict):
        value = list(value.values())
    return [link for item in value for link in links(item)] if isinstance(value, list) else []
