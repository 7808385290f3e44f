"""Progress from the logs of a real Meshroom run, and from single lines: tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.engine.progress import Meter
from meshroom_tasks.graph import parse_planned

RECORDED = Path(__file__).parents[1] / "data" / "recorded_run"
GRAPH = parse_planned((RECORDED / "photogrammetry-draft-planned.mg").read_text())


def recorded_log(node_type: str, name: str) -> list[str]:
    stage = GRAPH.stage(f"{node_type}_1")
    return (RECORDED / "MeshroomCache" / node_type / stage.uid / name).read_text().splitlines()


@pytest.mark.parametrize(
    ("node_type", "log", "chunk", "first", "steps", "last"),
    [
        ("FeatureExtraction", "0.log", 0, 1 / 23, 23, 0.99),
        ("StructureFromMotion", "log", None, 3 / 23, 21, 0.99),
        ("CameraInit", "log", None, 0.0, 0, 0.0),
        ("FeatureMatching", "1.log", 1, 0.0, 0, 0.0),
        ("Texturing", "log", None, 0.0, 0, 0.0),
    ],
)
def test_recorded_logs(node_type: str, log: str, chunk: int | None, first: float, steps: int, last: float) -> None:
    meter = Meter(node_type, GRAPH.stage(f"{node_type}_1").view_count(chunk))
    fractions = [meter.line(line) for line in recorded_log(node_type, log)]
    assert fractions == sorted(fractions)
    distinct = sorted(set(fractions) - {0.0})
    assert len(distinct) == steps
    assert (distinct[0] if distinct else 0.0) == pytest.approx(first)
    assert fractions[-1] == last


def test_recorded_files() -> None:
    names = [line.split()[1].split("/") for line in (RECORDED / "files.txt").read_text().splitlines()]
    files = [parts[-1] for parts in names if parts[:2] == ["MeshroomCache", "PrepareDenseScene"]]
    meter = Meter("PrepareDenseScene", 23)
    assert meter.counts_files
    assert meter.files(files[:14]) == pytest.approx(11 / 23)
    assert meter.files(files) == 0.99


@pytest.mark.parametrize(
    ("node_type", "total", "lines", "expected"),
    [
        ("Any", 9, ["[3/10] charts"], 0.3),
        ("Any", 9, ["[12:00:00.1][info] [3/10] charts"], 0.3),
        ("Any", 9, ["[3/10]"], 0.3),
        ("Any", 9, ["[3/0] nothing"], 0.0),
        ("Any", 9, ["see [3/10] in the text"], 0.0),
        ("Any", 9, ["[9/10] x", "[2/10] y"], 0.9),
        ("DepthMap", 2, ["[info] SGM (rc: 0, tile: 1/4) a"], 0.125),
        ("DepthMap", 2, ["(rc: 0, tile: 1/4) a", "(rc: 0, tile: 1/4) b", "(rc: 0, tile: 2/4) a"], 0.25),
        ("DepthMap", 1, ["(rc: 5, tile: 1/1) a"], 0.99),
        ("Meshing", 1, ["(rc: 5, tile: 1/1) a"], 0.0),
        ("FeatureExtraction", 2, ["500 sift features extracted from view 'a'"] * 2, 0.5),
    ],
)
def test_lines(node_type: str, total: int, lines: list[str], expected: float) -> None:
    meter = Meter(node_type, total)
    for line in lines:
        meter.line(line)
    assert meter.fraction == pytest.approx(expected)


def test_depth_maps_of_the_filter_are_counted_once_a_view() -> None:
    meter = Meter("DepthMapFilter", 4)
    names = ["1_depthMap.exr", "1_simMap.exr", "2_depthMap.npz", "0.log", "0.status"]
    assert meter.files(names) == 0.5
