"""Light that falls on each vertex: a warm lamp with a soft shadow, and a cool sky that corners see little of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.raster import rasterise

LAMP = np.array([0.52, -0.42, 0.74]) / np.linalg.norm([0.52, -0.42, 0.74])
_LAMP_COLOUR, _SKY_COLOUR = np.array([1.0, 0.90, 0.76]), np.array([0.78, 0.88, 1.0])
_LAMP_RAYS, _SKY_RAYS = 14, 40
_LAMP_SPREAD = 0.14
_SHADOW_MAP = 360


def light_on(
    vertices: NDArray[np.float64],
    normals: NDArray[np.float64],
    blockers: NDArray[np.float64],
    faces: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Irradiance RGB, about 1 in full light, and the share of the lamp that reaches each vertex: (V, 4).

    Each ray direction has a shadow map of the blocking mesh (Williams, "Casting curved shadows on curved surfaces",
    1978); the sky is a sum of such directions, spread evenly over the hemisphere.
    """
    rng = np.random.default_rng(11)
    total = np.zeros((len(vertices), 3), np.float32)
    lamp = np.zeros(len(vertices), np.float32)
    for _ in range(_LAMP_RAYS):
        direction = LAMP + rng.normal(0, _LAMP_SPREAD, 3)
        direction /= np.linalg.norm(direction)
        reached = _reached(vertices, normals, blockers, faces, direction)
        lamp += reached / _LAMP_RAYS
        total += (1.45 / _LAMP_RAYS) * _LAMP_COLOUR * (reached * np.clip(normals @ direction, 0, 1))[:, None]
    golden = np.pi * (3.0 - np.sqrt(5.0))
    for k in range(_SKY_RAYS):
        height = (k + 0.5) / _SKY_RAYS
        turn = golden * k
        flat = np.sqrt(1.0 - height**2)
        direction = np.array([flat * np.cos(turn), flat * np.sin(turn), height])
        reached = _reached(vertices, normals, blockers, faces, direction)
        total += (0.62 / _SKY_RAYS) * _SKY_COLOUR * (reached * np.clip(normals @ direction, 0, 1))[:, None]
    # What the table throws back up, warm and without shadows.
    total += 0.10 * np.array([1.0, 0.93, 0.82]) * (0.5 - 0.5 * normals[:, 2:]) + 0.03
    return np.column_stack([total, lamp])


def _reached(
    vertices: NDArray[np.float64],
    normals: NDArray[np.float64],
    blockers: NDArray[np.float64],
    faces: NDArray[np.int64],
    direction: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Where parallel light from `direction` arrives: 0, 1, or between at the shadow's edge (V,)."""
    side = np.cross(direction, [0.0, 0.0, 1.0] if abs(direction[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    frame = np.stack([side, np.cross(direction, side), -direction])
    placed = blockers @ frame.T
    low, high = placed.min(axis=0), placed.max(axis=0)
    scale = (_SHADOW_MAP - 3) / (high - low)[:2].max()
    pixels = (placed[:, :2] - low[:2]) * scale + 1.0
    depth = placed[:, 2] - low[2] + 1.0
    # Affine depth goes through the perspective rasteriser as faces of one depth each: their own far corner.
    constant = np.repeat(depth[faces].max(axis=1)[:, None], 3, axis=1)
    _, surface = rasterise(pixels[faces], constant, (_SHADOW_MAP, _SHADOW_MAP))
    lifted = (vertices + 0.012 * normals) @ frame.T
    spot = np.clip((lifted[:, :2] - low[:2]) * scale + 1.0, 0, _SHADOW_MAP - 2)
    mine = lifted[:, 2] - low[2] + 1.0
    corner = spot.astype(np.int64)
    fraction = (spot - corner).astype(np.float32)
    light = np.zeros(len(vertices), np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            free = mine <= surface[corner[:, 1] + dy, corner[:, 0] + dx] + 0.012
            weight = (fraction[:, 0] if dx else 1 - fraction[:, 0]) * (fraction[:, 1] if dy else 1 - fraction[:, 1])
            light += free * weight
    return light
