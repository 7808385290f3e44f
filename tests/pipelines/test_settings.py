"""What a client may set in a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import SettingInvalid
from meshroom_tasks.pipelines import Pipelines
from tests.pipelines.loading import load


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
