"""SIFT features of a photo (D. Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.features import Features
from meshroom_tasks.cpu_engine.masks import Mask, counts_at

_BYTES_PER_PIXEL = 4 * 4 * 11 * 4 / 3
"""Of SIFT's scale space: 4 bytes, on twice the side, 6 blurred and 5 difference images, all octaves."""


@dataclass(frozen=True)
class Extraction:
    """How features are looked for."""

    count: int
    """At most this many a photo."""
    longest_side: int
    """Larger photos are reduced to this many pixels first."""
    contrast: float
    """Least contrast of a keypoint, of an image with values from 0 to 1 (Lowe's threshold, summed over an octave)."""

    def memory(self, width: int, height: int) -> float:
        """Bytes that extraction from one photo takes, roughly."""
        shrink = min(1.0, self.longest_side / max(width, height))
        return width * height * shrink**2 * _BYTES_PER_PIXEL


Extract = Callable[[NDArray[np.uint8], Extraction], Features]

_LEAST_SHARE = 0.1
"""Of a photo that counts: no more than ten times the features are looked for."""


def extract_unmasked(extract: Extract, image: NDArray[np.uint8], mask: Mask | None, extraction: Extraction) -> Features:
    """Features on pixels that count. More are looked for, so that those which lie on others do not crowd them out."""
    if mask is None:
        return extract(image, extraction)
    share = max(float(mask.mean()), _LEAST_SHARE)
    found = extract(image, replace(extraction, count=math.ceil(extraction.count / share)))
    return found.select(counts_at(mask, found.keypoints[:, :2]), extraction.count)


def extract_sift(image: NDArray[np.uint8], extraction: Extraction) -> Features:
    """SIFT features by OpenCV, whose threads the caller sets."""
    reduced, scale = _reduced(image, extraction.longest_side)
    detector = cv2.SIFT.create(extraction.count, 3, extraction.contrast, 10.0, 1.6, True)
    found, raw = detector.detectAndCompute(reduced, None)
    if raw is None or not len(found):
        return _none()
    keypoints = np.array([(*point.pt, point.size / 2, math.radians(point.angle)) for point in found], np.float32)
    keypoints[:, :2] += 0.5
    keypoints[:, :3] *= scale
    strongest = np.argsort([-point.response for point in found], kind="stable")[: extraction.count]
    return Features(keypoints[strongest], _root(np.asarray(raw[strongest], np.float32)))


def extract_dspsift(image: NDArray[np.uint8], extraction: Extraction) -> Features:
    """SIFT with descriptors pooled over domain sizes (J. Dong, S. Soatto, CVPR 2015), by COLMAP; far slower."""
    import pycolmap

    reduced, scale = _reduced(image, extraction.longest_side)
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = 1
    options.sift.max_num_features = extraction.count
    options.sift.peak_threshold = extraction.contrast / options.sift.octave_resolution
    options.sift.domain_size_pooling = True
    extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
    points, descriptors = extractor.extract_from_uint8_array(reduced)
    keypoints = np.asarray(pycolmap.keypoints_to_matrix(points), np.float32).reshape(-1, 4)[: extraction.count]
    keypoints[:, :3] *= scale
    return Features(keypoints, np.asarray(descriptors.data, np.uint8).reshape(-1, 128)[: extraction.count])


def _reduced(image: NDArray[np.uint8], longest_side: int) -> tuple[NDArray[np.uint8], float]:
    """The image with no side longer than that, and the factor that leads back."""
    height, width = image.shape
    scale = max(width, height) / longest_side
    if scale <= 1:
        return image, 1.0
    size = (round(width / scale), round(height / scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _root(raw: NDArray[np.float32]) -> NDArray[np.uint8]:
    unit = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(np.clip(np.rint(512 * np.sqrt(unit)), 0, 255), np.uint8)


def _none() -> Features:
    return Features(np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8))
