"""A job's settings in the form that `meshroom_batch --overrides` takes.

Meshroom reads `{node name: {attribute: value}}` and takes each name for the beginning of a regular expression, so that
`DepthMap` would also mean DepthMapFilter_1: only exact node names are written. Groups are nested and may be partial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshroom_tasks.errors import SettingInvalid
from meshroom_tasks.graph import Template, TemplateNode

_SERVICE_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "Texturing": {
        "colorMapping": {"colorMappingFileType": "png"},
        "bumpMapping": {"normalFileType": "png"},
    }
}
"""By node type, what holds where template and settings are silent: Meshroom's own EXR opens in few programs."""


def by_node(template: Template, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings by node name; those given for a type go to all its nodes, those given for one node win over them.

    The service's own defaults are among them, where the template leaves something to the engine's.
    """
    names = {node.name for node in template.nodes}
    found = {node.name: silent for node in template.nodes if (silent := _left_open(node))}
    for key in sorted(settings, key=lambda key: key in names):
        nodes = [key] if key in names else [node.name for node in template.of_type(key)]
        if not nodes:
            raise SettingInvalid(f"the pipeline has no node {key!r}", node=key)
        for name in nodes:
            found[name] = _merged(found.get(name, {}), settings[key])
    return found


def _left_open(node: TemplateNode) -> dict[str, Any]:
    """The service's defaults for what a template's node does not say."""
    return _without(_SERVICE_DEFAULTS.get(node.node_type, {}), node.inputs)


def _without(defaults: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    result = {}
    for name, value in defaults.items():
        if name not in said:
            result[name] = value
        elif isinstance(value, Mapping) and isinstance(said[name], Mapping) and (rest := _without(value, said[name])):
            result[name] = rest
    return result


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = _merged(result[name], value) if both else value
    return result
