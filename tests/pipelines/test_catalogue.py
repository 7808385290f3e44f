"""What is known of node types: all that Meshroom saves, and only what a client may set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.catalogue import Attribute, Catalogue
from meshroom_tasks.derive_catalogue import OUTSIDE_OF_UIDS
from meshroom_tasks.pipelines import Pipelines
from tests.pipelines.loading import ENGINES, SHIPPED, load

RECORDED = Path(__file__).parents[1] / "data" / "recorded_run"
GRAPHS = [(RECORDED / f"photogrammetry-{name}-planned.mg").read_text() for name in ("gpu", "draft")]

DRAFT_SETTINGS = ("textureSide", "downscale", "describerPreset", "unwrapMethod")
"""With which the recorded draft was planned."""


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_catalogue_knows_all_that_meshroom_saves(pipelines: Pipelines, graph: str) -> None:
    """Inputs, outputs and defaults of a graph that Meshroom itself planned."""
    for node in json.loads(graph)["graph"].values():
        if node["nodeType"] == "Publish":
            continue
        known = pipelines.catalogue.node_type(node["nodeType"])
        assert known is not None
        assert node["inputs"].keys() == known.inputs | known.attributes.keys()
        assert node["outputs"].keys() == known.outputs
        for name, attribute in known.attributes.items():
            saved = node["inputs"][name]
            if attribute.kind != "group" and "{" not in str(saved):
                attribute.check((node["nodeType"], name), saved)
                assert saved == attribute.default or name in DRAFT_SETTINGS


@pytest.mark.parametrize("engine", ENGINES)
def test_the_catalogue_offers_no_paths_and_no_links(engine: str) -> None:
    catalogue = load(engine=engine).catalogue

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            for item in value.values():
                yield from texts(item)
        elif isinstance(value, Attribute):
            yield from (item for item in (value.default, *(value.choices or ())) if isinstance(item, str))
            yield from texts(value.members)

    for node_type in catalogue.node_types:
        attributes = catalogue.attributes(node_type)
        assert not [text for text in texts(attributes) if set(text) & set("/${}\\ ")]
        names = set(attributes)
        assert not names & {"viewpoints", "featuresFolders", "sensorDatabase", "masksFolder", "inputMesh", "input"}


@pytest.mark.parametrize("engine", ENGINES)
def test_all_defaults_are_valid_settings(engine: str) -> None:
    def value(attribute: Any) -> Any:
        if attribute.kind == "group":
            return {name: value(member) for name, member in attribute.members.items()}
        return attribute.default

    for pipeline in load(engine=engine):
        for node in pipeline.template.nodes:
            attributes = pipeline.attributes(node)
            assert attributes
            pipeline.validate_settings({node.name: {name: value(item) for name, item in attributes.items()}})


@pytest.mark.parametrize("folder", ["", "2025.1"])
def test_what_is_offered_is_part_of_the_uid(folder: str) -> None:
    """Or the stage cache would give a job the result of another setting."""

    def outside(path: str, members: Mapping[str, Attribute]) -> Iterator[str]:
        for name, attribute in members.items():
            yield from outside(f"{path}.{name}", attribute.members)
            if not attribute.invalidates and name not in OUTSIDE_OF_UIDS:
                yield f"{path}.{name}"

    catalogue = Catalogue.read((SHIPPED / folder / "nodes.json").read_text())
    found = {path for name in catalogue.node_types for path in outside(name, catalogue.attributes(name))}
    assert found - OUTSIDE_OF_UIDS.keys() == set(), "derive the catalogue anew"
    for name, attribute in (("Meshing", "densify"), ("StructureFromMotion", "useOnlyMatchesFromInputFolder")):
        node_type = catalogue.node_type(name)
        assert node_type is not None
        assert attribute in node_type.inputs, "a template may set it"
        assert attribute not in node_type.attributes
