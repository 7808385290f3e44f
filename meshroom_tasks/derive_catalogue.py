"""Write a `nodes.json` from a Meshroom source tree's descriptions of its nodes.

    python meshroom_tasks/derive_catalogue.py MESHROOM [NODES ...] > pipelines/nodes.json

MESHROOM is the root of the source tree; NODES are folders of nodes, by default `meshroom/nodes/aliceVision` in it.
Since 2025 AliceVision has its nodes itself, and Meshroom has those in `meshroom/nodes/general`.
Needs a Python that Meshroom runs on (3.11 or older for 2023.3) with psutil, and nothing of this project. Of each input
the name, type, default, range and choices are taken; see catalogue.py for what is left out, and why.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_WORD = re.compile(r"[A-Za-z0-9_.,:+][A-Za-z0-9_.,:+-]{0,99}")
_KINDS = {"BoolParam": "bool", "IntParam": "int", "FloatParam": "float", "StringParam": "string"}
_FILES = {"File", "ListAttribute", "PushButtonParam", "ColorParam"}
_UPLOADING = {"SketchfabUpload"}
"""Node types that send data elsewhere are not for clients."""
_NARROWED = {
    "outputMeshFileType": {"Texturing": ["obj"]},
    "colorMappingFileType": {"Texturing": ["png", "jpg"]},
    "normalFileType": {"Texturing": ["png", "jpg"]},
}
"""What the service makes its results from: (attribute, node type) -> the choices that are left, the default first."""
OUTSIDE_OF_UIDS = {
    "verboseLevel": "changes what is logged",
    "maxThreads": "changes how fast it is",
    "nbGPUs": "changes how fast it is",
    "CameraInit.allowedCameraModels": "the service marks CameraInit's `invalidation` with what is set in it",
    "CameraInit.defaultFieldOfView": "as above",
    "CameraInit.groupCameraFallback": "as above",
    "CameraInit.viewIdMethod": "as above",
    "Texturing.colorMapping.enable": "the uid holds the group's other members only where this is true",
    "Texturing.bumpMapping.enable": "as above",
    "Texturing.displacementMapping.enable": "as above",
}
"""Attributes that clients may set though Meshroom leaves them out of the uid, and why: of any node type, or of one.

Results are shared by uid. Any other attribute outside of it would let a job get the result of another setting.
"""


def main(arguments: list[str]) -> None:
    root = Path(arguments[0]).resolve()
    folders = [Path(name).resolve() for name in arguments[1:]] or [root / "meshroom/nodes/aliceVision"]
    sys.path[:0] = [str(root), *(str(folder.parent) for folder in folders)]
    with contextlib.redirect_stdout(sys.stderr):
        meshroom = importlib.import_module("meshroom")
        meshroom.setupEnvironment()
        nodes = {kind.__name__: node(kind) for folder in folders for kind in node_types(folder)}
    print('{"release": ' + json.dumps(meshroom.__version__) + ', "nodes": {')
    print(",\n".join(f" {json.dumps(name)}: {entry}" for name, entry in sorted(nodes.items())))
    print("}}")


def node_types(folder: Path) -> Iterator[Any]:
    """The classes that describe nodes: each is named as its module. What cannot be imported is named and left out."""
    for path in sorted(folder.glob("*.py")):
        if path.stem.startswith("_") or path.stem in _UPLOADING:
            continue
        try:
            module = importlib.import_module(f"{folder.name}.{path.stem}")
        except ImportError as error:
            print(f"left out {path.stem}: {error}", file=sys.stderr)
            continue
        kind = getattr(module, path.stem, None)
        if kind is not None and hasattr(kind, "inputs"):
            yield kind


def node(kind: Any) -> str:
    """The entry of a node type, one attribute a line."""
    found = {item.name: attribute(item, kind.__name__) for item in kind.inputs}
    attributes = {name: entry for name, entry in found.items() if entry is not None}
    links = [item.name for item in kind.inputs if item.name not in attributes]
    outputs = [item.name for item in kind.outputs]
    lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(attributes.items()))
    names = f'"inputs": {json.dumps(links)},\n  "outputs": {json.dumps(outputs)}'
    return f'{{\n  {names},\n  "attributes": {{\n{lines}\n  }}}}'


def attribute(item: Any, node_type: str, group: str = "") -> dict[str, Any] | None:
    """What is said of an input, a member of `group` ("": of none); None where a client may not set it."""
    name = type(item).__name__
    path = f"{group}{item.name}"
    if name in _FILES:
        return None
    if name == "GroupAttribute":
        found = {member.name: attribute(member, node_type, f"{path}.") for member in item.groupDesc}
        members = {name: entry for name, entry in found.items() if entry is not None}
        return {"type": "group", "attributes": members} if members else None
    entry = choice(item) if name == "ChoiceParam" else plain(item, _KINDS.get(name))
    if entry is not None and (left := _NARROWED.get(item.name, {}).get(node_type)):
        entry |= {"default": left[0], "choices": left}
    if entry is not None and not invalidates(item):
        if not ({item.name, f"{node_type}.{path}"} & OUTSIDE_OF_UIDS.keys()):
            return None
        entry["invalidates"] = False
    return entry


def plain(item: Any, kind: str | None) -> dict[str, Any] | None:
    if kind is None or callable(item.value) or (kind == "string" and not is_word(item.value)):
        return None
    entry = {"type": kind, "default": item.value}
    limits = getattr(item, "range", None)
    if limits:
        # Some defaults lie outside of the range that the editor's slider has.
        entry["range"] = [min(limits[0], item.value), max(limits[1], item.value)]
    return entry


def choice(item: Any) -> dict[str, Any] | None:
    choices = [value for value in item.values if not isinstance(value, str) or is_word(value)]
    default = item.value if item.exclusive else list(item.value)
    if not choices or not all(value in choices for value in ([default] if item.exclusive else default)):
        return None
    if not item.exclusive:
        return {"type": "list", "default": default, "choices": choices} if words(choices) else None
    kind = {bool: "bool", int: "int", float: "float", str: "string"}[type(choices[0])]
    return {"type": kind, "default": default, "choices": choices}


def invalidates(item: Any) -> bool:
    """Whether the input is part of its node's uid: `uid` names the uids that it is in (2023), `invalidate` (2025)."""
    return bool(item.uid) if hasattr(item, "uid") else bool(item.invalidate)


def is_word(value: Any) -> bool:
    return isinstance(value, str) and bool(_WORD.fullmatch(value))


def words(values: Iterable[Any]) -> bool:
    return all(map(is_word, values))


if __name__ == "__main__":
    main(sys.argv[1:])
