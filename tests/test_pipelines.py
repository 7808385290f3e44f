"""The shipped pipelines, their stage policies, and what a client may set in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.catalogue import Attribute, Catalogue
from meshroom_tasks.derive_catalogue import OUTSIDE_OF_UIDS
from meshroom_tasks.errors import GraphInvalid, PipelineUnknown, SettingInvalid
from meshroom_tasks.graph import parse_planned
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.pipelines import Pipelines
from meshroom_tasks.settings import PROJECT, load_settings
from meshroom_tasks.stage_policies import StagePolicies, StagePolicy, read_policies

SHIPPED = PROJECT / "pipelines"
RECORDED = Path(__file__).parent / "data" / "recorded_run"
GRAPHS = [(RECORDED / f"photogrammetry-{name}-planned.mg").read_text() for name in ("gpu", "draft")]


DRAFT_SETTINGS = ("textureSide", "downscale", "describerPreset", "unwrapMethod")
"""With which the recorded draft was planned."""
ENGINES = ("meshroom-2023.3.0", "meshroom-2025.1.0")


def load(*folders: Path, engine: str = "") -> Pipelines:
    return PipelineShelf.load(folders or (SHIPPED,)).for_engine(engine)


@pytest.fixture(scope="module")
def pipelines() -> Pipelines:
    return load()


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
    policies = read_policies('[default]\nweight = 2\n[stages.A]\nqueue = "gpu"\n')
    assert policies == StagePolicies({"A": StagePolicy(weight=2, queue="gpu")}, StagePolicy(weight=2))


def test_policies_add_to_earlier_ones() -> None:
    earlier = read_policies("[default]\nweight = 2\n[stages.A]\nattempts = 3\n[stages.B]\nattempts = 4\n")
    policies = read_policies("[stages.A]\nweight = 7\n[stages.C]\n", earlier)
    assert policies.of("A") == StagePolicy(weight=7, attempts=3)
    assert policies.of("B") == StagePolicy(weight=2, attempts=4)
    assert policies.of("C") == policies.of("D") == StagePolicy(weight=2)


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
        ("[stages.A]\nattempts = 0", "attempts is a whole number"),
        ("[stages.A]\nattempts = 1.5", "attempts is a whole number"),
        ("[stages]\nA = 3", "A is no section"),
    ],
)
def test_policies_with_faults(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_policies(text)


# Folders of one's own


def test_a_folder_with_a_template_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.mg").write_text((SHIPPED / "default.mg").read_text())
    pipelines = load(tmp_path)
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
        load(tmp_path)


MINIMAL: dict[str, Any] = {
    "CameraInit_1": {"nodeType": "CameraInit"},
    "FeatureExtraction_1": {"nodeType": "FeatureExtraction", "inputs": {"input": "{CameraInit_1.output}"}},
}


def template(release: str = "", **nodes: Any) -> str:
    return json.dumps({"header": {"releaseVersion": release}, "graph": {**MINIMAL, **nodes}})


@pytest.mark.parametrize(
    ("text", "says", "context"),
    [
        (template(X_1={"nodeType": "DepthMap", "inputs": {"input": "{Y_1.output}"}}), "Y_1, which is not", {}),
        (
            template(X_1={"nodeType": "DepthMap", "inputs": {"input": "{CameraInit_1.ouput}"}}),
            "X_1 links to {CameraInit_1.ouput}, but CameraInit has no attribute 'ouput'; did you mean 'output'",
            {"node": "X_1", "link": "{CameraInit_1.ouput}"},
        ),
        (
            template(X_1={"nodeType": "ImageMatching", "inputs": {"featuresFolders": ["{FeatureExtraction_1.x}"]}}),
            "FeatureExtraction has no attribute 'x'",
            {"node": "X_1", "link": "{FeatureExtraction_1.x}"},
        ),
        (
            template(X_1={"nodeType": "DepthMap", "inputs": {"inputs": "{CameraInit_1.output}"}}),
            "X_1 has no input 'inputs'; did you mean 'input'",
            {"node": "X_1", "attribute": "inputs"},
        ),
        (template(X_1={"nodeType": "DepthMap", "inputs": {"downscale": 3}}), "3 is not one of 1, 2", {"node": "X_1"}),
        (
            template(
                X_1={"nodeType": "A", "inputs": {"i": "{X_2.o}"}}, X_2={"nodeType": "A", "inputs": {"i": "{X_1.o}"}}
            ),
            "wait for each other",
            {},
        ),
    ],
)
def test_a_template_that_cannot_run_is_refused_with_the_reason(
    tmp_path: Path, text: str, says: str, context: dict[str, str]
) -> None:
    (tmp_path / "mine.mg").write_text(text)
    with pytest.raises(GraphInvalid, match=re.escape(says)) as failure:
        load(tmp_path)
    assert failure.value.message.startswith("mine.mg: ")
    assert context.items() <= failure.value.context.items()
    assert failure.value.context["file"] == str(tmp_path / "mine.mg")


def test_node_types_that_nobody_knows_are_left_to_the_engine(tmp_path: Path) -> None:
    nodes = {"New_1": {"nodeType": "New", "inputs": {"what": "{FeatureExtraction_1.output}", "x": 3}}}
    nodes["Late_1"] = {"nodeType": "MeshFiltering", "inputs": {"inputMesh": "{New_1.anything}"}}
    (tmp_path / "mine.mg").write_text(template(**nodes))
    assert [node.name for node in load(tmp_path).get("mine").template.nodes][-2:] == ["New_1", "Late_1"]


def test_an_operator_drops_a_template_into_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.mg").write_text(template("2023.3.0"))
    (tmp_path / "draft.mg").write_text(template())
    (tmp_path / "mine.toml").write_text('title = "Mine"\n')
    (tmp_path / "stages.toml").write_text("[stages.FeatureExtraction]\nattempts = 5\n")
    (tmp_path / "2025.1").mkdir()
    (tmp_path / "2025.1" / "mine.mg").write_text(template("2025.1.0", M_1={"nodeType": "MeshDecimate"}))
    old, new = (load(SHIPPED, tmp_path, engine=engine) for engine in ENGINES)
    assert old.names == new.names == ("default", "draft", "large", "mine", "object")
    assert old.get("mine").title == new.get("mine").title == "Mine"
    assert (len(old.get("mine").template.nodes), len(new.get("mine").template.nodes)) == (2, 3)
    assert old.get("draft").path == new.get("draft").path == tmp_path / "draft.mg"
    assert (old.policy("FeatureExtraction").attempts, old.policy("FeatureExtraction").weight) == (5, 49)
    assert old.policy("DepthMap").queue == "gpu"


def test_where_pipelines_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EXTRA_PIPELINES_DIR", "")
    assert load_settings().pipeline_folders == (SHIPPED,)
    (tmp_path / "pipelines").mkdir()
    assert load_settings().pipeline_folders == (SHIPPED, tmp_path / "pipelines")
    monkeypatch.setenv("EXTRA_PIPELINES_DIR", str(tmp_path / "elsewhere"))
    assert load_settings().pipeline_folders == (SHIPPED, tmp_path / "elsewhere")


def test_a_folder_with_two_templates_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "2023.3").mkdir()
    for path in (tmp_path / "mine.mg", tmp_path / "2023.3" / "mine.mg"):
        path.write_text(template())
    with pytest.raises(GraphInvalid, match="are both 'mine' for 2023"):
        load(tmp_path)


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


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(GraphInvalid, match="no pipeline"):
        load(tmp_path)


# Settings


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


def test_defaults_are_those_of_the_pipeline(pipelines: Pipelines) -> None:
    pipeline = pipelines.get("default")
    texturing = pipeline.attributes(pipeline.template.of_type("Texturing")[0])
    assert texturing["colorMapping"].members["colorMappingFileType"].default == "png"
    assert texturing["bumpMapping"].members["enable"].default is True
    draft = pipelines.get("draft")
    texturing = draft.attributes(draft.template.of_type("Texturing")[0])
    assert texturing["bumpMapping"].members["enable"].default is False
    assert texturing["textureSide"].default == 8192
    catalogue = pipelines.catalogue.attributes("Texturing")
    assert catalogue["bumpMapping"].members["enable"].default is True


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
        ({"FeatureMatching": {"describerTypes": ["sift"]}}, "no such attribute", "describerTypes"),
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
        (
            {"FeatureExtraction": {"describerPreset": "hihg"}},
            '"hihg" is not one of low, medium, normal, high, ultra, custom',
            "describerPreset",
        ),
        ({"FeatureExtraction": {"describerTypes": ["sift", "surf"]}}, '"surf" is not one of sift', "describerTypes"),
        ({"Texturing": {"textureSide": 1000}}, "1000 is not one of 1024, 2048", "textureSide"),
        ({"Texturing": {"padding": 21}}, "21 is out of range; allowed: 0 to 20", "padding"),
        ({"Texturing": {"bestScoreThreshold": -0.1}}, "out of range; allowed: 0 to 1", "bestScoreThreshold"),
        (
            {"Texturing": {"colorMapping": {"colorMappingFileType": "exr"}}},
            '"exr" is not one of png, jpg',
            "colorMapping.colorMappingFileType",
        ),
        ({"Texturing": {"outputMeshFileType": "fbx"}}, "not one of obj", "outputMeshFileType"),
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
        load(tmp_path).get("mine").validate_settings({"New": {"x": 1}})
