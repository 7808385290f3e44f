"""Folders of an operator: what is found there, and what is refused with the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import GraphInvalid
from meshroom_tasks.settings import load_settings
from tests.pipelines.loading import ENGINES, SHIPPED, load


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


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(GraphInvalid, match="no pipeline"):
        load(tmp_path)
