"""Whether a template says what the catalogue knows: its inputs, their values, and where its links lead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from meshroom_tasks.catalogue import Catalogue, NodeType, nearest
from meshroom_tasks.errors import GraphInvalid, SettingInvalid
from meshroom_tasks.graph import Template, TemplateNode, links_in


def check_template(template: Template, catalogue: Catalogue) -> None:
    """Raises GraphInvalid, with the `node` and the `link` or `attribute`, for the first fault.

    Nodes whose types are not in the catalogue, such as those of a plug-in, are taken as they are.
    """
    types = {node.name: catalogue.node_type(node.node_type) for node in template.nodes}
    for node in template.nodes:
        for source, attribute in links_in(node.inputs):
            _check_link(node, source, attribute, template, types[source])
        if (known := types[node.name]) is not None:
            _check_inputs(node, known)


def _check_link(node: TemplateNode, source: str, attribute: str, template: Template, known: NodeType | None) -> None:
    top = re.split(r"[.\[]", attribute)[0]
    if known is None or top in known.linkable:
        return
    node_type = next(other.node_type for other in template.nodes if other.name == source)
    raise GraphInvalid(
        f"{node.name} links to {{{source}.{attribute}}}, but {node_type} has no attribute {top!r}"
        f"{nearest(top, sorted(known.linkable))}",
        node=node.name,
        link=f"{{{source}.{attribute}}}",
    )


def _check_inputs(node: TemplateNode, known: NodeType) -> None:
    for name, value in node.inputs.items():
        if name in known.inputs:
            continue
        if name not in known.attributes:
            hint = nearest(name, sorted(known.inputs | known.attributes.keys()))
            raise GraphInvalid(f"{node.name} has no input {name!r}{hint}", node=node.name, attribute=name)
        if any(links_in(value)):
            continue
        try:
            known.attributes[name].check((node.name, name), _without_unsettable(value, known.attributes[name].members))
        except SettingInvalid as error:
            raise GraphInvalid(error.message, node=node.name, attribute=name) from error


def _without_unsettable(value: Any, members: Mapping[str, Any]) -> Any:
    """A group without what only a template may set."""
    if not members or not isinstance(value, Mapping):
        return value
    return {key: _without_unsettable(item, members[key].members) for key, item in value.items() if key in members}
