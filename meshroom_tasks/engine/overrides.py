"""A job's settings in the form that `meshroom_batch --overrides` takes.

Meshroom reads `{node name: {attribute: value}}` and takes each name for the beginning of a regular expression, so that
`DepthMap` would also mean DepthMapFilter_1: only exact node names are written. Groups are nested and may be partial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshroom_tasks.errors import SettingInvalid
from meshroom_tasks.graph import Template


def by_node(template: Template, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Settings by node name; those given for a type go to all its nodes, those given for one node win over them."""
    names = {node.name for node in template.nodes}
    found: dict[str, dict[str, Any]] = {}
    for key in sorted(settings, key=lambda key: key in names):
        nodes = [key] if key in names else [node.name for node in template.of_type(key)]
        if not nodes:
            raise SettingInvalid(f"the pipeline has no node {key!r}", node=key)
        for name in nodes:
            found[name] = _merged(found.get(name, {}), settings[key])
    return found


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = _merged(result[name], value) if both else value
    return result
