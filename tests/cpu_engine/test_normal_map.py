"""A relief that is known gives the normals that are known, however the texture lies on the mesh."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine import normal_map as module
from meshroom_tasks.cpu_engine.normal_map import LARGEST_SIDE, normal_map

SIDE = 96
QUAD = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
WAVE, HEIGHT = 6 * np.pi, 0.01
UPRIGHT = np.array([[0.0, 1], [1, 1], [1, 0], [0, 0]])
"""Where the corners lie, as shares of the texture from its upper left: x of the quad to the right, y upwards."""
QUARTER_TURN = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
"""x of the quad downwards, y to the right."""
MIRRORED = np.array([[1.0, 1], [0, 1], [0, 0], [1, 0]])
"""x to the left, y upwards."""


def waves(count: int = 121) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A plane that rises and falls along x."""
    x, y = np.meshgrid(np.linspace(0, 1, count), np.linspace(0, 1, count), indexing="ij")
    vertices = np.stack([x, y, HEIGHT * np.sin(WAVE * x)], axis=-1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(count - 1), np.arange(count - 1), indexing="ij")
    a = (i * count + j).ravel()
    quads = np.stack([a, a + count, a + count + 1, a + 1], axis=1)
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def baked(places: NDArray[np.float64], **more: object) -> NDArray[np.float64]:
    """Red, green, blue from -1 to 1, (SIDE, SIDE, 3)."""
    texels = (places * SIDE - 0.5)[FACES]
    wanted = {"reference": waves(), "padding": 0, "threads": 1, **more}
    picture = normal_map(QUAD, FACES, texels, (SIDE, SIDE), **wanted)  # type: ignore[arg-type]
    return picture[..., ::-1].astype(float) / 127.5 - 1.0


def expected(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normal of the waves at x: along x, and up."""
    slope = -HEIGHT * WAVE * np.cos(WAVE * x)
    return np.stack([slope, np.ones_like(slope)], axis=-1) / np.sqrt(1 + slope**2)[:, None]


MIDDLES = (np.arange(SIDE) + 0.5) / SIDE


@pytest.mark.parametrize(
    ("places", "along_x"),
    [
        (UPRIGHT, lambda picture: picture[:, :, 0]),
        (QUARTER_TURN, lambda picture: -picture.transpose(1, 0, 2)[:, :, 1]),
        (MIRRORED, lambda picture: -picture[:, ::-1, 0]),
    ],
    ids=["upright", "quarter turn", "mirrored"],
)
def test_waves_on_a_flat_quad(places: NDArray[np.float64], along_x: object) -> None:
    picture = baked(places)
    normal = expected(MIDDLES)
    assert np.abs(along_x(picture) - normal[:, 0]).max() < 0.03  # type: ignore[operator]
    blue = picture[..., 2] if places is not QUARTER_TURN else picture[..., 2].T
    blue = blue[:, ::-1] if places is MIRRORED else blue
    assert np.abs(blue - normal[:, 1]).max() < 0.03
    assert np.abs(np.linalg.norm(picture, axis=2) - 1).max() < 0.02


def test_the_mesh_may_lie_anyhow_in_space() -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    vertices, faces = waves()
    texels = (UPRIGHT * SIDE - 0.5)[FACES]
    picture = normal_map(QUAD @ turn.T, FACES, texels, (SIDE, SIDE), (vertices @ turn.T, faces), 0, 1)
    assert np.abs((picture[..., 2] / 127.5 - 1.0) - expected(MIDDLES)[:, 0]).max() < 0.03


def test_tiles_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = baked(UPRIGHT)
    monkeypatch.setattr(module, "TILE", 17)
    assert np.array_equal(baked(UPRIGHT), whole)


def test_where_there_is_no_reference_the_normal_stands_up() -> None:
    vertices, faces = waves()
    flat = (128 / 127.5 - 1, 128 / 127.5 - 1, 1.0)
    assert np.allclose(baked(UPRIGHT, reference=(vertices + np.array([0, 0, 5]), faces)), flat)
    assert np.allclose(baked(UPRIGHT, reference=(vertices, faces[:, ::-1])), flat), "it faces the other way"


def test_texels_about_a_chart_repeat_its_rim() -> None:
    quarter = UPRIGHT * 0.5 + 0.25
    bare, padded = baked(quarter), baked(quarter, padding=6)
    assert np.allclose(bare[SIDE // 2, 20], padded[SIDE // 2, 10])
    assert not np.allclose(bare[SIDE // 2, 20], padded[SIDE // 2, 20])
    assert np.allclose(padded[SIDE // 2, 20], padded[SIDE // 2, 24], atol=0.02)


def test_a_large_texture_gets_a_smaller_map() -> None:
    texels = (UPRIGHT * (4 * LARGEST_SIDE, LARGEST_SIDE) - 0.5)[FACES]
    picture = normal_map(QUAD, FACES, texels, (LARGEST_SIDE, 4 * LARGEST_SIDE), waves(11), 0, 2)
    assert picture.shape == (LARGEST_SIDE // 4, LARGEST_SIDE, 3)
