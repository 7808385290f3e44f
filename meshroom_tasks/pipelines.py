"""The pipelines for one release of Meshroom: templates by name, how each node type is run, what a client may set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meshroom_tasks.catalogue import Attribute, Catalogue, check_node, nearest
from meshroom_tasks.errors import PipelineUnknown, SettingInvalid
from meshroom_tasks.graph import Template, TemplateNode, links_in
from meshroom_tasks.stage_policies import StagePolicies, StagePolicy


@dataclass(frozen=True)
class Pipeline:
    """One template. `path` is what the engine is given."""

    name: str
    title: str
    description: str
    path: Path
    template: Template
    catalogue: Catalogue = field(repr=False)

    def validate_settings(self, settings: Mapping[str, Any]) -> None:
        """Check `{node name or node type: {attribute: value}}`.

        Raises SettingInvalid for the first fault; its context names the `node` and, when the node is known, the
        `attribute`.
        """
        for key, values in settings.items():
            nodes = [node for node in self.template.nodes if key in (node.name, node.node_type)]
            if not nodes:
                hint = nearest(key, dict.fromkeys(node.node_type for node in self.template.nodes))
                raise SettingInvalid(f"pipeline {self.name!r} has no node {key!r}{hint}", node=key)
            for node in nodes:
                check_node(key, self.attributes(node), values)

    def attributes(self, node: TemplateNode) -> Mapping[str, Attribute]:
        """What can be set in a node of this pipeline, with the defaults that hold in it; not what a link sets."""
        return _with_defaults(self.catalogue.attributes(node.node_type), node.inputs)


class Pipelines:
    """All pipelines for one release, by name."""

    def __init__(self, pipelines: Mapping[str, Pipeline], policies: StagePolicies, catalogue: Catalogue) -> None:
        self._pipelines = dict(sorted(pipelines.items()))
        self._policies = policies
        self.catalogue = catalogue

    def __iter__(self) -> Iterator[Pipeline]:
        return iter(self._pipelines.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._pipelines)

    def get(self, name: str) -> Pipeline:
        """Raises PipelineUnknown."""
        if name not in self._pipelines:
            raise PipelineUnknown(f"there is no pipeline {name!r}; choose one of {', '.join(self.names)}")
        return self._pipelines[name]

    def policy(self, node_type: str) -> StagePolicy:
        """How a node type is run; a safe default for one that `stages.toml` does not name."""
        return self._policies.of(node_type)


def _with_defaults(attributes: Mapping[str, Attribute], values: Mapping[str, Any]) -> dict[str, Attribute]:
    """The attributes with the values that a template sets in place of the node type's defaults."""
    found = {}
    for name, attribute in attributes.items():
        value = values.get(name)
        if any(links_in(value)):
            continue
        if attribute.kind == "group" and isinstance(value, Mapping):
            attribute = replace(attribute, members=_with_defaults(attribute.members, value))
        elif value is not None and not isinstance(value, Mapping):
            attribute = replace(attribute, default=value)
        found[name] = attribute
    return found
