from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from demo import accuracy, shapes
from demo.accuracy import camera_centres, measure, measure_results, similarity
from demo.scene import FOCAL, HEIGHT, WIDTH, joined, shots
from meshroom_tasks.cpu_engine.obj import write_obj
from meshroom_tasks.cpu_engine.ply import read_ply, write_mesh


@pytest.fixture(scope="module", autouse=True)
def fewer_samples() -> Iterator[None]:
    """Half of the points: enough for the shares that these tests look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accuracy, "_SAMPLES", 100_000)
        yield


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `demo.scene` leaves, without the pictures."""
    folder = tmp_path_factory.mktemp("truth")
    write_mesh(folder / "truth.ply", *joined(shapes.jar(150, 210), shapes.table(45, 120)))
    cameras = [
        {"photo": f"jar_{k:02d}.jpg", "R": s.R.tolist(), "t": s.t.tolist(), "centre": s.centre.tolist()}
        for k, s in enumerate(shots(10))
    ]
    about = {"height": shapes.HEIGHT, "radius": shapes.RADIUS}
    scene = {"width": WIDTH, "height": HEIGHT, "focal": FOCAL, "object": about, "cameras": cameras}
    (folder / "cameras.json").write_text(json.dumps(scene))
    return folder


def centres(truth: Path) -> dict[str, NDArray[np.float64]]:
    cameras = json.loads((truth / "cameras.json").read_text())["cameras"]
    return {camera["photo"]: np.array(camera["centre"]) for camera in cameras}


def test_the_truth_is_wholly_accurate_in_any_frame(truth: Path) -> None:
    vertices, faces = read_ply(truth / "truth.ply")
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    moved = {name: 3.0 * turn @ centre + (1, 2, 3) for name, centre in centres(truth).items()}
    found = measure(3.0 * vertices @ turn.T + (1, 2, 3), faces, moved, truth)
    assert found.accurate > 0.9999
    assert found.recovered > 0.999
    assert found.median_error < 0.004
    assert (found.cameras, found.photos) == (10, 10)
    assert "100.0% of the mesh" in str(found)


def test_a_shifted_mesh_is_not(truth: Path) -> None:
    vertices, faces = read_ply(truth / "truth.ply")
    found = measure(vertices + np.array([0.06, 0, 0]), faces, centres(truth), truth)
    assert 0.05 < found.accurate < 0.6
    assert found.recovered < 0.6


def test_a_missing_part_is_not_recovered_and_a_false_one_not_accurate(truth: Path) -> None:
    vertices, faces = read_ply(truth / "truth.ply")
    middles = vertices[faces].mean(axis=1)
    half = faces[middles[:, 0] < 0]
    found = measure(vertices, half, centres(truth), truth)
    assert found.accurate > 0.999
    assert 0.4 < found.recovered < 0.6
    inner = np.concatenate([vertices, vertices * (0.5, 0.5, 1.0)])
    found = measure(inner, np.concatenate([faces, faces + len(vertices)]), centres(truth), truth)
    assert found.accurate < 0.85
    assert found.recovered > 0.99


def test_a_mesh_elsewhere_counts_as_nothing_and_two_cameras_place_none(truth: Path) -> None:
    vertices, faces = read_ply(truth / "truth.ply")
    found = measure(vertices + 50, faces, centres(truth), truth)
    assert (found.accurate, found.recovered) == (0.0, 0.0)
    two = dict(list(centres(truth).items())[:2])
    with pytest.raises(ValueError, match="three are needed"):
        measure(vertices, faces, two, truth)


def test_results_are_matched_by_the_number_before_the_name(truth: Path, tmp_path: Path) -> None:
    write_obj(tmp_path / "texturedMesh.obj", *read_ply(truth / "truth.ply"))
    found = list(centres(truth).values())
    views = [{"viewId": str(k), "poseId": str(k), "path": f"/photos/{k:04d}_{k:08x}.jpg"} for k in range(10)]
    poses = [
        {"poseId": str(k), "pose": {"transform": {"center": [str(x) for x in found[k]]}}} for k in range(10) if k != 4
    ]
    (tmp_path / "cameras.sfm").write_text(json.dumps({"views": views, "poses": poses}))
    assert len(camera_centres(tmp_path / "cameras.sfm")) == 9
    result = measure_results(tmp_path, truth)
    assert result.cameras == 9
    assert result.accurate > 0.999


def test_the_similarity_is_never_a_mirror() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(8, 3))
    _, rotation, _ = similarity(points, points * (1, 1, -1))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    scale, rotation, shift = similarity(points, 2.5 * points + 1)
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(shift, 1.0)
