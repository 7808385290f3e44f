"""A draft's surface comes from the landmarks alone."""

from __future__ import annotations

import numpy as np

from meshroom_tasks.cpu_engine.scene import Camera, Landmarks, Scene
from meshroom_tasks.cpu_engine.sparse_cloud import landmark_cloud
from meshroom_tasks.cpu_engine.surface import SPARSE, poisson_surface


def ball(count: int, strays: int = 0) -> Scene:
    """Landmarks on a ball of radius 1, each seen by the three nearest of 20 cameras around it, and strays far off."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = np.concatenate([points, rng.uniform(-4, 4, (strays, 3))])
    centres = rng.normal(size=(20, 3))
    centres *= 5 / np.linalg.norm(centres, axis=1, keepdims=True)
    cameras = tuple(
        Camera(index, f"{index}.jpg", 640, 480, np.eye(3), np.eye(3), -centre) for index, centre in enumerate(centres)
    )
    seen = np.argsort(-(points @ centres.T), axis=1)[:, :3]
    starts = np.arange(len(points) + 1) * 3
    marks = Landmarks(points, np.zeros((len(points), 3), np.uint8), starts, seen.ravel())
    return Scene(cameras, marks, len(cameras))


def test_normals_point_to_the_cameras() -> None:
    cloud = landmark_cloud(ball(3000))
    assert len(cloud) > 2700
    assert (cloud.points * cloud.normals).sum(axis=1).min() > 0.95


def test_strays_are_left_out() -> None:
    cloud = landmark_cloud(ball(3000, strays=60))
    assert (np.abs(np.linalg.norm(cloud.points, axis=1) - 1) > 0.3).mean() < 0.01


def test_few_landmarks_are_no_cloud() -> None:
    assert len(landmark_cloud(ball(10))) == 0


def test_landmarks_that_too_few_photos_see_do_not_count() -> None:
    assert len(landmark_cloud(ball(3000), min_observations=4)) == 0


def test_a_surface_through_sparse_points_is_closed() -> None:
    vertices, faces = poisson_surface(landmark_cloud(ball(3000)), 10_000, SPARSE)
    assert len(faces) > 500
    assert np.abs(np.linalg.norm(vertices, axis=1) - 1).max() < 0.1
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, shared = np.unique(edges, axis=0, return_counts=True)
    assert (shared == 2).mean() > 0.99
