from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.cpu_engine import planning
from meshroom_tasks.cpu_engine.links import GraphError
from meshroom_tasks.cpu_engine.photos import PhotoError
from meshroom_tasks.cpu_engine.template import InvalidSetting, read_graph
from tests.cpu_engine.conftest import PROJECT, Run, write_template


def uids(template: Path, photos: Path, overrides: Any = None) -> dict[str, str]:
    return {name: node.uid for name, node in planning.plan(template, photos, overrides).items()}


def test_saved_graph_has_meshrooms_form(template: Path, photos: Path, tmp_path: Path) -> None:
    saved = tmp_path / "p.mg"
    planning.save(planning.plan(template, photos), saved)
    content = json.loads(saved.read_text())
    assert content["header"]["fileVersion"] == "1.1"
    assert content["header"]["template"] is False
    nodes = content["graph"]
    assert nodes["Writer_1"]["parallelization"] == {"blockSize": 2, "size": 3, "split": 2}
    assert nodes["Reader_1"]["parallelization"] == {"blockSize": 0, "size": 1, "split": 1}
    assert nodes["Writer_1"]["inputs"]["input"] == "{CameraInit_1.output}"
    assert nodes["Writer_1"]["inputs"]["inner"] == {"depth": 1, "on": False}
    assert nodes["Writer_1"]["outputs"]["first"] == "{cache}/{nodeType}/{uid0}/0.{kindValue}"
    assert nodes["Writer_1"]["internalFolder"] == "{cache}/{nodeType}/{uid0}/"
    viewpoints = nodes["CameraInit_1"]["inputs"]["viewpoints"]
    assert [Path(view["path"]).name for view in viewpoints] == ["0.jpg", "1.jpg", "2.jpg"]
    assert len({view["viewId"] for view in viewpoints}) == 3
    assert all(0 < view["viewId"] < 2**31 for view in viewpoints)
    assert len({view["intrinsicId"] for view in viewpoints}) == 1
    for node in nodes.values():
        assert len(node["uids"]["0"]) == 40


def test_a_smaller_block_makes_more_chunks_and_no_other_uids(
    template: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = uids(template, photos)
    monkeypatch.setenv("ENGINE_BLOCK_SIZES", "Writer=1,Reader=1,CameraInit=9")
    graph = planning.plan(template, photos)
    planning.save(graph, tmp_path / "p.mg")
    nodes = json.loads((tmp_path / "p.mg").read_text())["graph"]
    assert nodes["Writer_1"]["parallelization"] == {"blockSize": 1, "size": 3, "split": 3}
    assert nodes["Reader_1"]["parallelization"] == {"blockSize": 0, "size": 1, "split": 1}
    assert {name: node.uid for name, node in graph.items()} == usual
    monkeypatch.setenv("ENGINE_BLOCK_SIZES", "Writer=99")
    assert planning.plan(template, photos)["Writer_1"].block_size == 2
    assert read_graph(tmp_path / "p.mg")["Writer_1"].block_size == 1, "computing follows the saved graph"


def test_a_saved_graph_reads_back_equal(template: Path, photos: Path, tmp_path: Path) -> None:
    graph = planning.plan(template, photos, {"Writer": {"inner": {"depth": 4}}})
    planning.save(graph, tmp_path / "p.mg")
    again = read_graph(tmp_path / "p.mg")
    assert {name: (node.uid, node.values) for name, node in again.items()} == {
        name: (node.uid, node.values) for name, node in graph.items()
    }


def test_uids_do_not_depend_on_the_folder_of_the_graph_or_the_photos_contents(template: Path, photos: Path) -> None:
    before = uids(template, photos)
    shutil.copy(photos / "0.jpg", photos / "1.jpg")
    moved = template.parent / "elsewhere"
    moved.mkdir()
    assert uids(shutil.copy(template, moved / "other.mg"), photos) == before


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ({"Writer": {"amount": 4}}, {"Writer_1", "Reader_1"}),
        ({"Writer_1": {"inner": {"depth": 2}}}, {"Writer_1", "Reader_1"}),
        ({"Writer_1": {"inner.depth": 2}}, {"Writer_1", "Reader_1"}),
        ({"Reader": {"amount": 4}}, {"Reader_1"}),
        ({"CameraInit": {"defaultFieldOfView": 60}}, {"CameraInit_1", "Writer_1", "Reader_1"}),
        ({"Writer": {"nbThreads": 7}}, set()),
        ({"Writer": {"amount": 3}}, set()),
        ({"CameraInit": {"defaultFieldOfView": 45}}, set()),
    ],
)
def test_uids_change_with_what_results_depend_on(
    template: Path, photos: Path, overrides: dict[str, Any], changed: set[str]
) -> None:
    before, after = uids(template, photos), uids(template, photos, overrides)
    assert {name for name in before if before[name] != after[name]} == changed


def test_uids_change_with_the_photos_paths(template: Path, photos: Path) -> None:
    before = uids(template, photos)
    (photos / "1.jpg").rename(photos / "3.jpg")
    after = uids(template, photos)
    assert not set(before.values()) & set(after.values())


def test_uids_change_with_the_engines_version_and_the_invalidation_text(
    template: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = uids(template, photos)
    content = json.loads(template.read_text())
    content["graph"]["CameraInit_1"]["internalInputs"] = {"invalidation": "abc"}
    template.write_text(json.dumps(content))
    between = uids(template, photos)
    monkeypatch.setattr(planning, "__version__", "99.0")
    after = uids(template, photos)
    for name in before:
        assert len({before[name], between[name], after[name]}) == 3


def test_uids_do_not_depend_on_the_names_of_nodes(template: Path, photos: Path) -> None:
    renamed = template.with_name("renamed.mg")
    renamed.write_text(template.read_text().replace("Writer_1", "Writer_7"))
    assert uids(renamed, photos)["Reader_1"] == uids(template, photos)["Reader_1"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"Writr": {"amount": 1}}, r"Invalid setting: Writr: the pipeline has no such node; did you mean Writer"),
        ({"Writer": {"amonut": 1}}, r"Invalid setting: Writer\.amonut: .*did you mean amount\?"),
        ({"Writer": {"zzz": 1}}, r"Invalid setting: Writer\.zzz: .*there are: amount, flag, inner\.depth"),
        ({"Writer": {"amount": "4"}}, r"Invalid setting: Writer\.amount: expected a whole number"),
        ({"Writer": {"amount": 40}}, r"Invalid setting: Writer\.amount: 40 is out of range, allowed: 1 to 10"),
        ({"Writer": {"inner": {"depth": 10}}}, r"Invalid setting: Writer\.inner\.depth: 10 is out of range"),
        ({"Writer": {"inner": {"dept": 1}}}, r"Invalid setting: Writer\.inner\.dept: .*did you mean inner\.depth"),
        ({"Writer": {"inner": 3}}, r"Invalid setting: Writer\.inner: "),
        ({"Writer": {"flag": 1}}, r"Invalid setting: Writer\.flag: expected true or false"),
        ({"Writer": {"kind": "doc"}}, r"Invalid setting: Writer\.kind: .*nobody can read it; allowed: txt, md"),
        ({"Writer": {"amount": "{CameraInit_1.output}"}}, r"Invalid setting: Writer\.amount: expected a whole"),
        ({"Writer": {"input": "/etc/passwd"}}, r"Invalid setting: Writer\.input: is set by the pipeline's links"),
        ({"Reader": {"folders": []}}, r"Invalid setting: Reader\.folders: is set by the pipeline's links"),
        ({"CameraInit": {"viewpoints": []}}, r"Invalid setting: CameraInit\.viewpoints: is set by the pipeline"),
        ({"Writer": 3}, r"Invalid setting: overrides: expected an object"),
    ],
)
def test_overrides_that_are_refused(template: Path, photos: Path, overrides: Any, message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        planning.plan(template, photos, overrides)


def test_a_nodes_own_override_wins_over_its_types(template: Path, photos: Path) -> None:
    both = {"Writer_1": {"amount": 5}, "Writer": {"amount": 4, "flag": True}}
    values = planning.plan(template, photos, both)["Writer_1"].values
    assert (values["amount"], values["flag"]) == (5, True)


def test_settings_from_the_command_line(template: Path, photos: Path) -> None:
    texts = ["Writer:amount=5", "Writer_1.inner.depth=2", "Writer:ratio=0.25", "Writer:flag=true"]
    values = planning.plan(template, photos, settings=texts)["Writer_1"].values
    assert (values["amount"], values["inner.depth"], values["ratio"], values["flag"]) == (5, 2, 0.25, True)
    for text in ("Writer=5", "Writer:amount=x", "Nobody:amount=1", "Writer:amount=11", "Writer:input=/etc/passwd"):
        with pytest.raises(InvalidSetting):
            planning.plan(template, photos, settings=[text])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"CameraInit_1": {}, "Nothing_1": {}}, "Nothing: unknown node type"),
        ({"CameraInit_1": {}, "Writer_1": {"input": "{CameraInit_1.nothing}"}}, r"Writer\.input: .*names no attribute"),
        ({"CameraInit_1": {}, "Writer_1": {"input": "{CameraInit_2.output}"}}, r"Writer\.input: .*names no node"),
        ({"CameraInit_1": {}, "Writer_1": {"inptu": "{CameraInit_1.output}"}}, r"Writer\.inptu: .*did you mean input"),
        ({"CameraInit_1": {}, "Writer_1": {"amount": "{CameraInit_1.output}"}}, r"Writer\.amount: cannot be linked"),
        ({"CameraInit_1": {}, "Writer_1": {"amount": 99}}, r"Writer\.amount: 99 is out of range"),
        ({"CameraInit_1": {}, "Reader_1": {"input": "{Reader_1.input}"}}, r"Reader\.input: .*back to itself"),
        ({"CameraInit_1": {}, "CameraInit_2": {}}, "exactly one CameraInit"),
        ({"Writer_1": {}}, "exactly one CameraInit"),
    ],
)
def test_templates_that_are_refused(
    tmp_path: Path, photos: Path, nodes: dict[str, dict[str, Any]], message: str
) -> None:
    with pytest.raises((InvalidSetting, GraphError), match=message):
        planning.plan(write_template(tmp_path / "bad.mg", nodes), photos)


def test_a_value_that_comes_by_a_link_is_checked(tmp_path: Path, photos: Path) -> None:
    nodes: dict[str, dict[str, Any]] = {
        "CameraInit_1": {},
        "Writer_1": {"kind": "md"},
        "Reader_1": {"amount": "{Writer_1.kind}"},
    }
    with pytest.raises(InvalidSetting, match=r"Reader\.amount: expected a whole number"):
        planning.plan(write_template(tmp_path / "bad.mg", nodes), photos)


def test_no_photos(template: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(PhotoError, match=r"^No photos"):
            planning.plan(template, folder)


@pytest.mark.parametrize("text", ["", "[]", "{}x", '{"graph": {"A_1": {}}}', '{"graph": {"A_1": 3}}', '{"graph": 3}'])
def test_files_that_are_no_graph(tmp_path: Path, photos: Path, text: str) -> None:
    (tmp_path / "bad.mg").write_text(text)
    with pytest.raises(GraphError, match="is not a graph"):
        planning.plan(tmp_path / "bad.mg", photos)


@pytest.mark.parametrize("pipeline", sorted((PROJECT / "pipelines").glob("*.mg")), ids=lambda path: path.stem)
def test_the_projects_pipelines_can_be_planned(pipeline: Path, photos: Path) -> None:
    graph = planning.plan(pipeline, photos)
    assert {node.node_type for node in graph.values()} >= {"CameraInit", "StructureFromMotion", "Texturing"}


def test_batch_command(engine: Run, template: Path, photos: Path, tmp_path: Path) -> None:
    saved = tmp_path / "p.mg"
    done = engine("meshroom_batch", "--input", photos, "--pipeline", template, "--save", saved, "--compute", "no")
    assert (done.returncode, done.stderr) == (0, "")
    assert saved.is_file()
    assert not (tmp_path / "MeshroomCache").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [('{"Writer": {"amount": 99}}', "Invalid setting: Writer.amount: "), ("{", "Invalid setting: overrides: ")],
)
def test_batch_refuses_with_one_sentence(
    engine: Run, template: Path, photos: Path, tmp_path: Path, overrides: str, message: str
) -> None:
    (tmp_path / "o.json").write_text(overrides)
    saved = tmp_path / "p.mg"
    done = engine(
        "meshroom_batch", "--input", photos, "--pipeline", template, "--save", saved, "--compute", "no",
        "--overrides", tmp_path / "o.json",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not saved.exists()


def test_batch_without_photos_or_pipeline(engine: Run, template: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    saved = ("--save", tmp_path / "p.mg", "--compute", "no")
    nothing = engine("meshroom_batch", "--input", tmp_path / "empty", "--pipeline", template, *saved)
    assert (nothing.returncode, nothing.stderr.startswith("No photos")) == (1, True)
    unknown = engine("meshroom_batch", "--input", photos, "--pipeline", "nosuch", *saved)
    assert (unknown.returncode, "no pipeline 'nosuch'" in unknown.stderr) == (1, True)


@pytest.mark.parametrize("command", ["meshroom_batch", "meshroom_compute"])
def test_version_and_bad_usage(engine: Run, command: str) -> None:
    version = engine(command, "--version")
    assert version.returncode == 0
    assert version.stdout.startswith("cpu-engine ")
    assert engine(command, "--nonsense").returncode == 255
    assert engine(command).returncode == 255


def test_planning_loads_no_numeric_library(engine: Run, photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from meshroom_tasks.cpu_engine.meshroom_batch import main; "
        f"code = main(['--input', {str(photos)!r}, '--save', {str(tmp_path / 'p.mg')!r}, '--compute', 'no']); "
        "print(code, sorted({'numpy', 'cv2', 'pycolmap', 'numba', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
