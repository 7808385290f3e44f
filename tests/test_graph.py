"""Planned graphs of a real Meshroom give the measured stages, chunks and read-sets; broken ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import GraphInvalid
from meshroom_tasks.graph import PlannedGraph, parse_planned, parse_template
from meshroom_tasks.retry_policies import NEVER

RECORDED = Path(__file__).parent / "data" / "recorded_run"

# Node type: (blocks are numbered, number of chunks, node types whose folders it reads).
GPU: dict[str, tuple[bool, int, set[str]]] = {
    "CameraInit": (False, 1, set()),
    "FeatureExtraction": (True, 1, {"CameraInit"}),
    "ImageMatching": (False, 1, {"CameraInit", "FeatureExtraction"}),
    "FeatureMatching": (True, 2, {"CameraInit", "FeatureExtraction", "ImageMatching"}),
    "StructureFromMotion": (False, 1, {"CameraInit", "FeatureExtraction", "FeatureMatching"}),
    "PrepareDenseScene": (True, 1, {"StructureFromMotion"}),
    "DepthMap": (True, 2, {"StructureFromMotion", "PrepareDenseScene"}),
    "DepthMapFilter": (True, 1, {"StructureFromMotion", "DepthMap"}),
    "Meshing": (False, 1, {"StructureFromMotion", "DepthMapFilter"}),
    "MeshFiltering": (False, 1, {"Meshing"}),
    "Texturing": (False, 1, {"Meshing", "MeshFiltering", "PrepareDenseScene"}),
    "Publish": (False, 1, {"Texturing"}),
}
DRAFT = {
    **{name: GPU[name] for name in GPU if name not in ("DepthMap", "DepthMapFilter")},
    "Meshing": (False, 1, {"StructureFromMotion"}),
}


def recorded(name: str) -> PlannedGraph:
    return parse_planned((RECORDED / f"photogrammetry-{name}-planned.mg").read_text())


@pytest.mark.parametrize(("name", "expected"), [("gpu", GPU), ("draft", DRAFT)])
def test_recorded_graph(name: str, expected: dict[str, tuple[bool, int, set[str]]]) -> None:
    graph = recorded(name)
    types = {stage.name: stage.node_type for stage in graph.stages}
    found = {
        stage.node_type: (stage.chunked, stage.chunk_count, {types[read] for read in stage.reads})
        for stage in graph.stages
    }
    assert found == expected
    assert graph.release == "2023.3.0"


@pytest.mark.parametrize("name", ["gpu", "draft"])
def test_each_stage_comes_after_all_that_it_reads(name: str) -> None:
    seen: set[str] = set()
    for stage in recorded(name).stages:
        assert set(stage.reads) <= seen
        assert list(stage.reads) == sorted(stage.reads, key=[s.name for s in recorded(name).stages].index)
        seen.add(stage.name)


def test_uids_name_the_recorded_folders() -> None:
    for stage in recorded("draft").stages:
        assert (RECORDED / "MeshroomCache" / stage.node_type / stage.uid).is_dir()


def test_order_does_not_depend_on_the_file() -> None:
    document = json.loads((RECORDED / "photogrammetry-gpu-planned.mg").read_text())
    document["graph"] = dict(sorted(document["graph"].items(), key=lambda item: item[0][::-1]))
    assert parse_planned(json.dumps(document)) == recorded("gpu")


def planned(**nodes: dict[str, Any]) -> str:
    common = {"nodeType": "T", "uids": {"0": "ab12"}, "parallelization": {"blockSize": 0, "size": 1, "split": 1}}
    return json.dumps({"header": {}, "graph": {name: {**common, **node} for name, node in nodes.items()}})


def test_uid_of_2025() -> None:
    graph = parse_planned(planned(A_1={"uids": None, "uid": "cd34"}))
    assert graph.stage("A_1").uid == "cd34"


@pytest.mark.parametrize(
    ("inputs", "reads"),
    [
        ({"x": "{A_1.out}"}, {"A_1"}),
        ({"x": ["{A_1.out}", "{B_1.out}"]}, {"A_1", "B_1"}),
        ({"group": {"deep": [{"x": "{B_1.out}"}]}}, {"B_1"}),
        ({"x": "{B_1.in}"}, {"A_1"}),
        ({"x": "{B_1.list}"}, {"A_1"}),
        ({"x": "{B_1.list[0]}"}, {"A_1"}),
        ({"x": "{B_1.group.member}"}, {"A_1"}),
        ({"x": "{B_1.constant}"}, set()),
        ({"x": "{B_1.unheardOf}"}, {"B_1"}),
        ({"x": "a text with {A_1.out} in it", "y": "${A_1}", "z": '{"A": "x.y"}'}, set()),
    ],
)
def test_links(inputs: dict[str, Any], reads: set[str]) -> None:
    b_inputs = {"in": "{A_1.out}", "list": ["{A_1.out}"], "group": {"member": "{A_1.out}"}, "constant": 3}
    graph = parse_planned(
        planned(
            C_1={"inputs": inputs},
            B_1={"inputs": b_inputs, "outputs": {"out": "x"}},
            A_1={"outputs": {"out": "x"}},
        )
    )
    assert set(graph.stage("C_1").reads) == reads


def test_unknown_stage() -> None:
    with pytest.raises(KeyError):
        recorded("gpu").stage("Nothing_1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "holds no graph"),
        ('{"graph": {}}', "holds no graph"),
        ('{"graph": {"A_1": 3}}', "not readable"),
        ('{"graph": {"../A": {"nodeType": "A"}}}', "not readable"),
        ('{"graph": {"A_1": {"nodeType": "../etc"}}}', "has no type"),
        (planned(A_1={"inputs": []}), "inputs"),
        (planned(A_1={"inputs": {"x": "{B_1.out}"}}), "B_1, which is not in the graph"),
        (planned(A_1={"inputs": {"x": "{A_1.y}"}}), "wait for each other"),
        (planned(A_1={"inputs": {"x": ["{B_1.o}"]}}, B_1={"inputs": {"x": "{A_1.o}"}}), "A_1 -> B_1 -> A_1|B_1 -> A_1"),
        (planned(A_1={"uids": {}}), "no uid"),
        (planned(A_1={"uids": {"0": "../../x"}}), "no uid"),
        (planned(A_1={"parallelization": {"blockSize": 4, "split": 0}}), "how many chunks"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(GraphInvalid, match=says) as failure:
        parse_planned(text)
    assert failure.value.code == "graph_invalid"
    assert failure.value.retry == NEVER


def test_template() -> None:
    text = planned(B_1={"nodeType": "Late", "inputs": {"x": "{A_1.out}", "n": 3}}, A_1={"nodeType": "Early"})
    template = parse_template(text)
    assert [node.name for node in template.nodes] == ["A_1", "B_1"]
    assert template.of_type("Late")[0].inputs == {"x": "{A_1.out}", "n": 3}


def test_template_with_a_cycle() -> None:
    with pytest.raises(GraphInvalid):
        parse_template(planned(A_1={"inputs": {"x": "{B_1.o}"}}, B_1={"inputs": {"x": "{A_1.o}"}}))
