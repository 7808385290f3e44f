"""A small textured model as Texturing leaves it: an orange upper and a blue lower half of a ball, a texture each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ORANGE, BLUE = (230, 120, 30), (40, 90, 200)
"""Red, green, blue of the upper and of the lower half."""


def ball(rows: int = 24, columns: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (y up), texture coordinates and quads of a ball of radius 1; rows of quads from top to bottom."""
    polar = np.linspace(0, np.pi, rows + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, columns + 1)[None]
    grid = np.stack([np.sin(polar) * np.cos(around), np.cos(polar) + 0 * around, -np.sin(polar) * np.sin(around)], -1)
    uv = np.stack([around / (2 * np.pi) + 0 * polar, 1 - polar / np.pi + 0 * around], -1)
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    first = (i * (columns + 1) + j).ravel()
    quads = np.stack([first, first + columns + 1, first + columns + 2, first + 1], -1)
    return grid.reshape(-1, 3), uv.reshape(-1, 2), quads


PLACE = np.array([0.5, -1.0, 2.0])
"""Of the ball's middle in the cameras' world."""


def write_texturing(
    folder: Path, *, jpeg: bool = False, udim: bool = False, place: np.ndarray | None = None, turned: bool = False
) -> Path:
    """An OBJ with two materials: the upper half and the lower one, y up, around the origin.

    With `udim` the lower half's texture coordinates lie in the next tile. With `place` the ball is where cameras with
    y down see it upright, at `place`; with `turned` too, that mesh is written in the frame with y up, as by Meshroom.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vertices, uv, quads = ball()
    if place is not None:
        vertices = vertices * [1, -1, -1] + place
    if turned:
        vertices = vertices * [1, -1, -1]
    upper = quads[: len(quads) // 2]
    ending = "jpg" if jpeg else "png"
    lines = ["# a ball", "mtllib texturedMesh.mtl"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv]
    lines += [f"vt {u + udim:.6f} {v:.6f}" for u, v in uv]
    for number, part in ((0, upper), (1, quads[len(quads) // 2 :])):
        lines.append(f"usemtl material_{1001 + number}")
        for quad in part + 1:
            lines.append("f " + " ".join(f"{index}/{index + number * len(uv)}" for index in quad))
    (folder / "texturedMesh.obj").write_text("\n".join(lines) + "\n")
    (folder / "texturedMesh.mtl").write_text(
        "".join(f"newmtl material_{n}\nKd 0.6 0.6 0.6\nmap_Kd texture_{n}.{ending}\n\n" for n in (1001, 1002))
    )
    for number, colour in ((1001, ORANGE), (1002, BLUE)):
        cv2.imwrite(str(folder / f"texture_{number}.{ending}"), painted(colour)[..., ::-1])
    (folder / "stats.json").write_text(json.dumps({"textured_faces_fraction": 0.97, "charts": 2}))
    return folder


def painted(colour: tuple[int, int, int], side: int = 256) -> np.ndarray:
    """(side, side, 3) red, green, blue: the colour, with a white left half in the top eighth of rows."""
    picture = np.full((side, side, 3), colour, np.uint8)
    picture[: side // 8, : side // 2] = 255
    return picture


def write_sfm(
    folder: Path, places: list[tuple[float, float, float]], *, target: np.ndarray = PLACE, orientation: int = 1
) -> Path:
    """`cameras.sfm` and `stats.json` as AliceVision writes them, y down in the world.

    The cameras stand at `places` as seen from `target`, at which they look.
    """
    folder.mkdir(parents=True, exist_ok=True)
    views: list[dict[str, Any]] = []
    poses = []
    for number, place in enumerate(places):
        centre = target + place
        forward = -np.array(place) / np.linalg.norm(place)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        world_to_camera = np.stack([right, np.cross(forward, right), forward])
        if orientation == 6:
            world_to_camera = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) @ world_to_camera
        by_columns = world_to_camera.T.ravel()
        views.append(
            {
                "viewId": str(number),
                "poseId": str(number),
                "intrinsicId": "7",
                "path": f"{number}.jpg",
                "metadata": {"Orientation": str(orientation)},
            }
        )
        transform = {"rotation": [str(value) for value in by_columns], "center": [str(value) for value in centre]}
        poses.append({"poseId": str(number), "pose": {"transform": transform, "locked": "0"}})
    views.append({"viewId": "99", "poseId": "99", "intrinsicId": "7", "path": "not registered.jpg"})
    intrinsic = {
        "intrinsicId": "7",
        "width": "640",
        "height": "480",
        "sensorWidth": "36",
        "sensorHeight": "27",
        "focalLength": "36",
        "principalPoint": ["0", "0"],
    }
    scene = {"version": ["1", "2", "6"], "views": views, "intrinsics": [intrinsic], "poses": poses}
    (folder / "cameras.sfm").write_text(json.dumps(scene))
    sfm = {
        "views": str(len(views)),
        "validViews": str(len(poses)),
        "points": "11159",
        "residual": "0.37086745461623655",
    }
    (folder / "stats.json").write_text(json.dumps({"sfm": sfm}))
    return folder


@pytest.fixture
def texturing(tmp_path: Path) -> Path:
    return write_texturing(tmp_path / "texturing", place=PLACE)


@pytest.fixture
def sfm(tmp_path: Path) -> Path:
    """One camera far behind, one in front and a little above (y points down)."""
    return write_sfm(tmp_path / "sfm", [(0, 0, 40), (0, -1, -4)])
