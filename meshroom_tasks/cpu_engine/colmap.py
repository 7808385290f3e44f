"""COLMAP databases and options from the engine's own files. Views are numbered from 1 in CameraInit's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.features import Features
from meshroom_tasks.cpu_engine.image_pairs import Pair
from meshroom_tasks.cpu_engine.sfm_data import View

CAMERA_MODEL = "RADIAL"
"""f, cx, cy, k1, k2."""
SEED = 5489
"""Meshroom's default random seed."""


@dataclass(frozen=True, eq=False)
class TwoViews:
    """What geometric verification of a pair found."""

    pair: Pair
    """Indices of the views."""
    configuration: int
    """COLMAP's kind of two-view geometry."""
    matches: NDArray[np.uint32]
    """(M, 2) indices of the features that agree with it."""
    matrices: NDArray[np.float64]
    """(3, 3, 3): essential matrix, fundamental matrix, homography; NaN where there is none."""


def quieten() -> None:
    """Let COLMAP report warnings and errors only, and draw its random numbers from a fixed seed."""
    pycolmap.logging.minloglevel = int(pycolmap.logging.WARNING)
    pycolmap.set_random_seed(SEED)


@contextmanager
def database(path: Path, views: Sequence[View], features: Mapping[int, Features]) -> Iterator[Any]:
    """A new COLMAP database with cameras, images and the features of some views (index -> features); open inside."""
    base = pycolmap.Database.open(path)
    try:
        with pycolmap.DatabaseTransaction(base):
            _write_images(base, views)
            for index, found in features.items():
                base.write_keypoints(index + 1, found.keypoints)
                descriptors = pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, found.descriptors)
                base.write_descriptors(index + 1, descriptors)
        yield base
    finally:
        base.close()


def _write_images(base: Any, views: Sequence[View]) -> None:
    """Each camera is a rig of its own, each image a frame: COLMAP 4 knows images only as parts of frames."""
    rigs: dict[int, tuple[int, int]] = {}
    for index, view in enumerate(views):
        intrinsic = view.intrinsic
        if intrinsic.intrinsic_id not in rigs:
            camera = pycolmap.Camera(
                model=CAMERA_MODEL,
                width=intrinsic.width,
                height=intrinsic.height,
                params=[intrinsic.focal, *intrinsic.principal, *intrinsic.distortion[:2]],
            )
            camera.has_prior_focal_length = intrinsic.known
            camera_id = base.write_camera(camera)
            rig = pycolmap.Rig()
            rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id))
            rigs[intrinsic.intrinsic_id] = (camera_id, base.write_rig(rig))
        camera_id, rig_id = rigs[intrinsic.intrinsic_id]
        image = pycolmap.Image(name=str(index), camera_id=camera_id)
        image.image_id = index + 1
        base.write_image(image, use_image_id=True)
        frame = pycolmap.Frame()
        frame.rig_id = rig_id
        frame.add_data_id(pycolmap.data_t(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id), index + 1))
        base.write_frame(frame)


def read_two_views(base: Any) -> list[TwoViews]:
    """The verified pairs of a database."""
    found = []
    for pair_id, geometry in zip(*base.read_two_view_geometries(), strict=True):
        if len(geometry.inlier_matches):
            first, second = pycolmap.pair_id_to_image_pair(pair_id)
            matrices = [np.full((3, 3), np.nan) if m is None else m for m in (geometry.E, geometry.F, geometry.H)]
            found.append(
                TwoViews(
                    pair=(first - 1, second - 1),
                    configuration=int(geometry.config),
                    matches=np.asarray(geometry.inlier_matches, np.uint32),
                    matrices=np.array(matrices, np.float64),
                )
            )
    return sorted(found, key=lambda two: two.pair)


def write_two_views(base: Any, found: Sequence[TwoViews]) -> None:
    """Enter verified pairs into a database."""
    with pycolmap.DatabaseTransaction(base):
        for two in found:
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = two.configuration
            geometry.inlier_matches = two.matches
            for name, matrix in zip("EFH", two.matrices, strict=True):
                if not np.isnan(matrix).any():
                    setattr(geometry, name, matrix)
            images = (two.pair[0] + 1, two.pair[1] + 1)
            base.write_matches(*images, two.matches)
            base.write_two_view_geometry(*images, geometry)
