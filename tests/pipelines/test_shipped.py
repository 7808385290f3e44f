"""The shipped templates and their twins for another release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import PipelineUnknown
from meshroom_tasks.graph import parse_planned
from meshroom_tasks.pipelines import Pipelines
from tests.pipelines.loading import ENGINES, SHIPPED, load

RECORDED = Path(__file__).parents[1] / "data" / "recorded_run"
GRAPHS = [(RECORDED / f"photogrammetry-{name}-planned.mg").read_text() for name in ("gpu", "draft")]


def test_default_is_the_recorded_pipeline_without_publish(pipelines: Pipelines) -> None:
    """The same nodes, and a planned graph of it would have the same links."""
    template = pipelines.get("default").template
    recorded = parse_planned(GRAPHS[0])
    assert [(node.name, node.node_type) for node in template.nodes] == [
        (stage.name, stage.node_type) for stage in recorded.stages if stage.node_type != "Publish"
    ]
    planned = json.loads(GRAPHS[0])["graph"]
    for node in template.nodes:
        for name, value in node.inputs.items():
            if "{" in str(value) and isinstance(value, str | list) and name != "inputRefMesh":
                assert planned[node.name]["inputs"][name] == value
    header = json.loads((SHIPPED / "default.mg").read_text())["header"]
    assert header["template"] is True
    versions = json.loads(GRAPHS[0])["header"]["nodesVersions"]
    assert header["nodesVersions"].items() <= versions.items()


def test_default_never_writes_exr_textures(pipelines: Pipelines) -> None:
    texturing = pipelines.get("default").template.of_type("Texturing")[0].inputs
    assert texturing["colorMapping"] == {"enable": True, "colorMappingFileType": "png"}
    assert texturing["bumpMapping"]["normalFileType"] == "png"
    assert texturing["displacementMapping"]["enable"] is False


def test_an_unknown_pipeline(pipelines: Pipelines) -> None:
    for name in ("nonesuch", "../default", "default.mg", ""):
        with pytest.raises(PipelineUnknown, match=r"choose one of .*default"):
            pipelines.get(name)


@pytest.mark.parametrize("engine", ENGINES)
def test_descriptions(engine: str) -> None:
    pipelines = load(engine=engine)
    assert pipelines.names == ("default", "draft", "large", "object")
    assert [pipeline.name for pipeline in pipelines] == list(pipelines.names)
    for pipeline in pipelines:
        assert pipeline.title != pipeline.name
        assert pipeline.description
        assert pipeline.path.is_file()


def test_the_twins_for_2025_differ_in_nothing_but_their_format() -> None:
    old, new = (load(engine=engine) for engine in ENGINES)
    assert old.names == new.names
    for pipeline in old:
        assert new.get(pipeline.name).template.nodes == pipeline.template.nodes
        assert (new.get(pipeline.name).template.release, pipeline.template.release) == ("2025.1.0", "2023.3.0")


@pytest.mark.parametrize("engine", ENGINES)
def test_no_pipeline_writes_exr_textures(engine: str) -> None:
    for pipeline in load(engine=engine):
        texturing = pipeline.template.of_type("Texturing")[0].inputs
        assert texturing["colorMapping"]["colorMappingFileType"] == texturing["bumpMapping"]["normalFileType"] == "png"
        assert texturing["displacementMapping"]["enable"] is False
        assert not pipeline.template.of_type("Publish")


def test_what_the_pipelines_are_for() -> None:
    def inputs(name: str, node_type: str) -> Mapping[str, Any]:
        return load().get(name).template.of_type(node_type)[0].inputs

    assert not load().get("draft").template.of_type("DepthMap")
    assert inputs("default", "Texturing")["inputRefMesh"] == "{Meshing_1.outputMesh}"
    assert inputs("object", "FeatureExtraction")["describerPreset"] == "high"
    assert "VocabularyTree" in inputs("large", "ImageMatching")["method"]
