"""The shipped pipelines, their stage policies, and what a client may set in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.catalogue import derive
from meshroom_tasks.errors import GraphInvalid, PipelineUnknown, SettingInvalid
from meshroom_tasks.graph import parse_planned
from meshroom_tasks.pipelines import Pipelines, StagePolicy, read_policies
from meshroom_tasks.settings import PROJECT

SHIPPED = PROJECT / "pipelines"
RECORDED = Path(__file__).parent / "data" / "recorded_run"
GRAPHS = [(RECORDED / f"photogrammetry-{name}-planned.mg").read_text() for name in ("gpu", "draft")]


@pytest.fixture(scope="module")
def pipelines() -> Pipelines:
    return Pipelines.load(SHIPPED)


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
            if "{" in str(value) and isinstance(value, str | list):
                assert planned[node.name]["inputs"][name] == value
    header = json.loads((SHIPPED / "default.mg").read_text())["header"]
    assert header["template"] is True
    versions = json.loads(GRAPHS[0])["header"]["nodesVersions"]
    assert header["nodesVersions"].items() <= versions.items()


def test_default_never_writes_exr_textures(pipelines: Pipelines) -> None:
    texturing = pipelines.get("default").template.of_type("Texturing")[0].inputs
    assert texturing["colorMapping"] == {"enable": True, "colorMappingFileType": "png"}
    assert texturing["bumpMapping"] == texturing["displacementMapping"] == {"enable": False}


def test_an_unknown_pipeline(pipelines: Pipelines) -> None:
    for name in ("nonesuch", "../default", "default.mg", ""):
        with pytest.raises(PipelineUnknown, match=r"choose one of .*default"):
            pipelines.get(name)


def test_descriptions(pipelines: Pipelines) -> None:
    assert "default" in pipelines.names
    assert [pipeline.name for pipeline in pipelines] == list(pipelines.names)
    for pipeline in pipelines:
        assert pipeline.description
        assert pipeline.path.is_file()


# Policies


def test_which_stages_read_the_photos(pipelines: Pipelines) -> None:
    stages = pipelines.get("default").template.nodes
    reading = {node.node_type for node in stages if pipelines.policy(node.node_type).reads_photos}
    assert reading == {"CameraInit", "FeatureExtraction", "StructureFromMotion", "PrepareDenseScene"}


def test_queues(pipelines: Pipelines) -> None:
    queues = {
        node.node_type: pipelines.policy(node.node_type).queue for node in pipelines.get("default").template.nodes
    }
    assert {name for name, queue in queues.items() if queue == "gpu"} == {"DepthMap"}


def test_a_node_type_that_nobody_knows(pipelines: Pipelines) -> None:
    assert pipelines.policy("SomethingNew") == StagePolicy(queue="cpu", reads_photos=True)


def test_policies_build_on_the_default() -> None:
    policies, default = read_policies('[default]\nweight = 2\n[stages.A]\nqueue = "gpu"\n')
    assert default == StagePolicy(weight=2)
    assert policies == {"A": StagePolicy(weight=2, queue="gpu")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[stage.A]", "unknown section 'stage'"),
        ("[stages.A]\nweigth = 1", "unknown key 'weigth'"),
        ('[stages.A]\nqueue = "tpu"', "queue is cpu or gpu"),
        ('[stages.A]\nmemory = "much"', "memory is normal"),
        ("[stages.A]\nweight = 0", "above 0"),
        ("[stages.A]\ntime_limit_seconds = true", "above 0"),
        ('[stages.A]\nreads_photos = "yes"', "true or false"),
    ],
)
def test_policies_with_faults(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_policies(text)


# Folders of one's own


def test_a_folder_with_a_template_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.mg").write_text((SHIPPED / "default.mg").read_text())
    pipelines = Pipelines.load(tmp_path)
    assert pipelines.names == ("mine",)
    assert pipelines.get("mine").title == "mine"
    assert pipelines.policy("DepthMap").queue == "gpu"
    pipelines.get("mine").validate_settings({"DepthMap": {"downscale": 4}})


@pytest.mark.parametrize(
    ("name", "text"),
    [("bad.mg", "{"), ("stages.toml", "[stages.A]\nx = 1"), ("nodes.json", "[]"), ("good.toml", "=")],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "good.mg").write_text((SHIPPED / "default.mg").read_text())
    (tmp_path / name).write_text(text)
    with pytest.raises(GraphInvalid, match=name):
        Pipelines.load(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(GraphInvalid, match="no pipeline"):
        Pipelines.load(tmp_path)


# Settings


def test_the_catalogue_is_that_of_the_recorded_graphs() -> None:
    assert json.loads((SHIPPED / "nodes.json").read_text()) == derive(GRAPHS)


def test_the_catalogue_holds_no_paths_and_no_links() -> None:
    text = (SHIPPED / "nodes.json").read_text()
    assert "/" not in text
    assert "${" not in text
    assert "_1." not in text
    for name in ("viewpoints", "featuresFolders", "sensorDatabase", "masksFolder", "inputMesh"):
        assert name not in text


def test_all_defaults_are_valid_settings(pipelines: Pipelines) -> None:
    def value(attribute: Any) -> Any:
        if attribute.kind == "group":
            return {name: value(member) for name, member in attribute.members.items()}
        return attribute.default

    pipeline = pipelines.get("default")
    for node in pipeline.template.nodes:
        attributes = pipeline.attributes(node)
        assert attributes
        pipeline.validate_settings({node.name: {name: value(attribute) for name, attribute in attributes.items()}})


def test_defaults_are_those_of_the_pipeline(pipelines: Pipelines) -> None:
    pipeline = pipelines.get("default")
    texturing = pipeline.attributes(pipeline.template.of_type("Texturing")[0])
    assert texturing["colorMapping"].members["colorMappingFileType"].default == "png"
    assert texturing["bumpMapping"].members["enable"].default is False
    assert texturing["textureSide"].default == 8192
    catalogue = pipelines.catalogue.attributes("Texturing")
    assert catalogue["colorMapping"].members["colorMappingFileType"].default == "exr"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"DepthMap": {}},
        {"FeatureExtraction": {"describerPreset": "high", "describerTypes": ["sift", "akaze"]}},
        {"FeatureExtraction_1": {"relativePeakThreshold": 1}},
        {"Meshing": {"maxPoints": 100000, "boundingBox": {"bboxScale": {"x": 2.5}}}},
        {"Texturing": {"colorMapping": {"colorMappingFileType": "jpg"}, "useUDIM": False}},
    ],
)
def test_settings_that_are_taken(pipelines: Pipelines, settings: dict[str, Any]) -> None:
    pipelines.get("default").validate_settings(settings)


@pytest.mark.parametrize(
    ("settings", "says", "attribute"),
    [
        ({"FeatureExtracton": {}}, "did you mean 'FeatureExtraction'", None),
        ({"Zzz": {}}, "there are CameraInit, ", None),
        ({"DepthMap_2": {}}, "did you mean 'DepthMap'", None),
        ({"Publish": {"verboseLevel": "info"}}, "no node 'Publish'", None),
        ({"DepthMap": 3}, "expected an object", None),
        ({"FeatureExtraction": {"describerPresett": "low"}}, "did you mean 'describerPreset'", "describerPresett"),
        ({"Meshing": {"boundingBox": {"bboxScal": {}}}}, "did you mean 'bboxScale'", "boundingBox.bboxScal"),
        ({"Meshing": {"boundingBox": 3}}, "expected an object", "boundingBox"),
        ({"Meshing": {"boundingBox.bboxScale": {}}}, "no such attribute", "boundingBox.bboxScale"),
        ({"Meshing": {"input": "x"}}, "no such attribute", "input"),
        ({"FeatureExtraction": {"masksFolder": "/etc"}}, "no such attribute", "masksFolder"),
        ({"Texturing": {"textureSide": 4096.0}}, "expected a whole number, got 4096.0", "textureSide"),
        ({"Texturing": {"textureSide": True}}, "expected a whole number, got true", "textureSide"),
        ({"Texturing": {"textureSide": 10**12}}, "expected a whole number", "textureSide"),
        ({"Texturing": {"textureSide": "4096"}}, "expected a whole number", "textureSide"),
        ({"Texturing": {"useUDIM": 1}}, "expected true or false, got 1", "useUDIM"),
        ({"Texturing": {"bestScoreThreshold": False}}, "expected a number", "bestScoreThreshold"),
        ({"Texturing": {"bestScoreThreshold": float("nan")}}, "expected a number", "bestScoreThreshold"),
        ({"Texturing": {"bestScoreThreshold": None}}, "expected a number, got null", "bestScoreThreshold"),
        ({"FeatureExtraction": {"describerTypes": "sift"}}, "expected a list", "describerTypes"),
        ({"FeatureExtraction": {"describerTypes": [3]}}, "expected a list", "describerTypes"),
        ({"FeatureExtraction": {"describerTypes": ["a"] * 101}}, "expected a list", "describerTypes"),
        ({"FeatureExtraction": {"describerPreset": ["low"]}}, "expected a text", "describerPreset"),
    ],
)
def test_settings_that_are_refused(
    pipelines: Pipelines, settings: dict[str, Any], says: str, attribute: str | None
) -> None:
    with pytest.raises(SettingInvalid, match=says) as failure:
        pipelines.get("default").validate_settings(settings)
    assert failure.value.context["node"] == next(iter(settings))
    assert failure.value.context.get("attribute") == attribute


@pytest.mark.parametrize(
    "text",
    [
        "",
        "low\n",
        "low\x00",
        "a b",
        '" --output "/tmp/x',
        "'x'",
        "${HOME}",
        "$HOME",
        "{Texturing_1.output}",
        "a\\b",
        "../x",
        "--output",
        "`id`",
        "@file",
        "x" * 101,
        "\u202elow",
        "lów",
    ],
)
def test_texts_that_could_do_harm(pipelines: Pipelines, text: str) -> None:
    for settings in (
        {"FeatureExtraction": {"describerPreset": text}},
        {"FeatureExtraction": {"describerTypes": ["sift", text]}},
    ):
        with pytest.raises(SettingInvalid, match="expected a"):
            pipelines.get("default").validate_settings(settings)


def test_a_node_type_without_catalogue_takes_no_settings(tmp_path: Path) -> None:
    (tmp_path / "mine.mg").write_text('{"graph": {"New_1": {"nodeType": "New"}}}')
    with pytest.raises(SettingInvalid, match="it has none"):
        Pipelines.load(tmp_path).get("mine").validate_settings({"New": {"x": 1}})
