"""The folders that pipelines come from: the service's own, and one that an operator drops templates into.

    <name>.mg     a template as Meshroom saves it (no Publish node), for the release that its header names
    <name>.toml   its title and description
    stages.toml   queue, time limit, weight, ... of each node type
    nodes.json    what is known of each node type (see catalogue.py)
    2025.1/       templates for that release, and its nodes.json

A template without a release in its header is for all. A later folder's template takes the place of an earlier one's of
the same name, its `stages.toml` adds to the earlier ones, and its `nodes.json` adds node types. A folder without these
uses those that come with the project. Everything is read and checked at once, so that no fault shows up in a job.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import TypeVar

from meshroom_tasks.catalogue import Catalogue
from meshroom_tasks.errors import GraphInvalid
from meshroom_tasks.graph import Template, parse_template
from meshroom_tasks.pipelines import Pipeline, Pipelines
from meshroom_tasks.releases import RELEASES, Release, release_of
from meshroom_tasks.settings import PROJECT
from meshroom_tasks.stage_policies import StagePolicies, read_policies
from meshroom_tasks.template_checks import check_template

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_SHIPPED = PROJECT / "pipelines"

T = TypeVar("T")


class PipelineShelf:
    """The pipelines for each release."""

    def __init__(self, by_release: dict[Release, Pipelines]) -> None:
        self._by_release = by_release

    @classmethod
    def load(cls, folders: Sequence[Path]) -> PipelineShelf:
        """Raises GraphInvalid, which names the file, when one of the files cannot be read or says what cannot be."""
        policies = reduce(_with_policies, [_SHIPPED, *folders], StagePolicies({}))
        shelf = cls({release: _pipelines(folders, release, policies) for release in RELEASES})
        if not any(pipelines.names for pipelines in shelf._by_release.values()):
            places = ", ".join(map(str, folders))
            raise GraphInvalid(f"{places} holds no pipeline (*.mg); set PIPELINES_DIR to a folder with some")
        return shelf

    def for_engine(self, engine: str) -> Pipelines:
        """Those for the release that an engine's identity means; "": for an engine that says nothing."""
        return self._by_release[release_of(engine)]


def _with_policies(base: StagePolicies, folder: Path) -> StagePolicies:
    path = folder / "stages.toml"
    return _read(path, lambda text: read_policies(text, base)) if path.exists() else base


def _pipelines(folders: Sequence[Path], release: Release, policies: StagePolicies) -> Pipelines:
    catalogue = Catalogue({})
    for folder in dict.fromkeys([_SHIPPED, *folders]):
        path = (folder if release == RELEASES[0] else folder / release.name) / "nodes.json"
        if path.exists():
            catalogue = catalogue.extended(_read(path, Catalogue.read))
    found: dict[str, Pipeline] = {}
    for folder in folders:
        own: dict[str, Path] = {}
        for path in _templates(folder):
            template = _read(path, parse_template)
            if template.release and release_of(template.release) != release:
                continue
            if path.stem in own:
                raise GraphInvalid(f"{own[path.stem]} and {path} are both {path.stem!r} for {release.name}; rename one")
            own[path.stem] = path
            found[path.stem] = _pipeline(path, template, catalogue, folder)
    return Pipelines(found, policies, catalogue)


def _templates(folder: Path) -> list[Path]:
    places = [folder, *(folder / release.name for release in RELEASES)]
    return [path for place in places for path in sorted(place.glob("*.mg")) if _NAME.fullmatch(path.stem)]


def _pipeline(path: Path, template: Template, catalogue: Catalogue, folder: Path) -> Pipeline:
    abouts = [path.with_suffix(".toml"), folder / f"{path.stem}.toml"]
    about = next((place for place in abouts if place.exists()), None)
    words = _read(about, tomllib.loads) if about else {}
    try:
        check_template(template, catalogue)
    except GraphInvalid as error:
        raise _named(path, error) from error
    return Pipeline(
        name=path.stem,
        title=str(words.get("title", path.stem)),
        description=str(words.get("description", "")),
        path=path,
        template=template,
        catalogue=catalogue,
    )


def _read(path: Path, parse: Callable[[str], T]) -> T:
    try:
        return parse(path.read_text())
    except (OSError, ValueError, KeyError, AttributeError, TypeError, GraphInvalid) as error:
        raise _named(path, error) from error


def _named(path: Path, error: Exception) -> GraphInvalid:
    context = error.context if isinstance(error, GraphInvalid) else {}
    return GraphInvalid(f"{path.name}: {error}; mend the file {path}", **{**context, "file": str(path)})
