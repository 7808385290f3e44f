"""The folder `pipelines/`: templates by name, how each node type is run, and what a client may set.

    <name>.mg     a template as Meshroom saves it (no Publish node)
    <name>.toml   its title and description
    stages.toml   queue, time limit, weight, ... of each node type
    nodes.json    the attributes of each node type (see catalogue.py)

A folder without `stages.toml` or `nodes.json` uses those that come with the project.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from meshroom_tasks.catalogue import Attribute, Catalogue, nearest
from meshroom_tasks.errors import GraphInvalid, PipelineUnknown, SettingInvalid
from meshroom_tasks.graph import Template, TemplateNode, parse_template
from meshroom_tasks.settings import PROJECT

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_SHIPPED = PROJECT / "pipelines"


@dataclass(frozen=True)
class StagePolicy:
    """How the chunks of a node type are run; `pipelines/stages.toml` says what each field means.

    The defaults are right for any node type, if not the fastest.
    """

    queue: Literal["cpu", "gpu"] = "cpu"
    time_limit_seconds: float = 14400.0
    weight: float = 5.0
    memory: Literal["normal", "intensive"] = "normal"
    reads_photos: bool = True


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
        types = {node.name: node.node_type for node in self.template.nodes}
        types |= {node_type: node_type for node_type in types.values()}
        for key, values in settings.items():
            if key not in types:
                hint = nearest(key, dict.fromkeys(types.values()))
                raise SettingInvalid(f"pipeline {self.name!r} has no node {key!r}{hint}", node=key)
            self.catalogue.check(key, types[key], values)

    def attributes(self, node: TemplateNode) -> Mapping[str, Attribute]:
        """What can be set in a node of this pipeline, with the defaults that hold in it."""
        return _with_defaults(self.catalogue.attributes(node.node_type), node.inputs)


class Pipelines:
    """All pipelines of a folder, by name."""

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        policies: Mapping[str, StagePolicy],
        default: StagePolicy,
        catalogue: Catalogue,
    ) -> None:
        self._pipelines = dict(sorted(pipelines.items()))
        self._policies = policies
        self._default = default
        self.catalogue = catalogue

    @classmethod
    def load(cls, folder: Path) -> Pipelines:
        """Raises GraphInvalid, which names the file, when one of the files cannot be read."""
        catalogue = _read(_own_or_shipped(folder, "nodes.json"), Catalogue.read)
        policies, default = _read(_own_or_shipped(folder, "stages.toml"), read_policies)
        paths = [path for path in sorted(folder.glob("*.mg")) if _NAME.fullmatch(path.stem)]
        if not paths:
            raise GraphInvalid(f"{folder} holds no pipeline (*.mg); set PIPELINES_DIR to a folder with some")
        return cls({path.stem: _pipeline(path, catalogue) for path in paths}, policies, default, catalogue)

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
        return self._policies.get(node_type, self._default)


def read_policies(text: str) -> tuple[dict[str, StagePolicy], StagePolicy]:
    """The policies by node type, and the default. Raises ValueError for what `stages.toml` may not say."""
    content = tomllib.loads(text)
    if unknown := content.keys() - {"default", "stages"}:
        raise ValueError(f"unknown section {sorted(unknown)[0]!r}")
    default = _policy(StagePolicy(), "default", content.get("default", {}))
    return {name: _policy(default, name, entry) for name, entry in content.get("stages", {}).items()}, default


def _policy(base: StagePolicy, name: str, entry: Mapping[str, Any]) -> StagePolicy:
    if unknown := entry.keys() - {declared.name for declared in fields(StagePolicy)}:
        raise ValueError(f"{name} has an unknown key {sorted(unknown)[0]!r}")
    policy = replace(base, **entry)
    if policy.queue not in ("cpu", "gpu") or policy.memory not in ("normal", "intensive"):
        raise ValueError(f"{name}: queue is cpu or gpu, memory is normal or intensive")
    if not _positive(policy.time_limit_seconds) or not _positive(policy.weight):
        raise ValueError(f"{name}: time_limit_seconds and weight are numbers above 0")
    if not isinstance(policy.reads_photos, bool):
        raise ValueError(f"{name}: reads_photos is true or false")
    return policy


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _own_or_shipped(folder: Path, name: str) -> Path:
    own = folder / name
    return own if own.exists() else _SHIPPED / name


def _pipeline(path: Path, catalogue: Catalogue) -> Pipeline:
    about = path.with_suffix(".toml")
    words = _read(about, tomllib.loads) if about.exists() else {}
    return Pipeline(
        name=path.stem,
        title=str(words.get("title", path.stem)),
        description=str(words.get("description", "")),
        path=path,
        template=_read(path, parse_template),
        catalogue=catalogue,
    )


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(path.read_text())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, GraphInvalid) as error:
        raise GraphInvalid(f"{path.name}: {error}; mend the file", file=str(path)) from error


def _with_defaults(attributes: Mapping[str, Attribute], values: Mapping[str, Any]) -> dict[str, Attribute]:
    """The attributes with the values that a template sets in place of the node type's defaults."""
    found = {}
    for name, attribute in attributes.items():
        value = values.get(name)
        if attribute.kind == "group" and isinstance(value, Mapping):
            attribute = replace(attribute, members=_with_defaults(attribute.members, value))
        elif value is not None:
            attribute = replace(attribute, default=value)
        found[name] = attribute
    return found
