"""Solid colours in linear light: banded malachite, beaten gold and terrazzo, from seeded noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

Points = NDArray[np.float64]
Colours = NDArray[np.float32]

_LATTICE = np.random.default_rng(5).random((32, 32, 32)).astype(np.float32)


def noise(points: Points, frequency: float) -> NDArray[np.float32]:
    """Smooth random values (N,) in -1..1 on a lattice of `frequency` cells a unit (value noise: Perlin, 1985)."""
    scaled = points.T * frequency + 17.3
    cell = np.floor(scaled)
    inside = scaled - cell
    eased = inside * inside * inside * (inside * (inside * 6.0 - 15.0) + 10.0)
    values = map_coordinates(_LATTICE, cell + eased, order=1, mode="grid-wrap")
    return np.asarray(2.0 * values - 1.0, np.float32)


def turbulence(points: Points, frequency: float, octaves: int) -> NDArray[np.float32]:
    """Noise over `octaves` doublings of the frequency, each half as strong."""
    total = np.zeros(len(points), np.float32)
    for octave in range(octaves):
        total += noise(points, frequency * 2**octave) * 0.5**octave
    return total


def malachite(points: Points) -> Colours:
    """Concentric green bands of uneven width, with the stone's fine grain."""
    warp = np.column_stack([turbulence(points + shift, 1.1, 3) for shift in (0.0, 5.2, 9.7)])
    field = turbulence(points + 0.55 * warp, 1.3, 2) + 0.35 * warp[:, 0]
    wide = 0.5 + 0.5 * np.sin(17.0 * field)
    fine = 0.5 + 0.5 * np.sin(52.0 * field + 3.0 * warp[:, 1])
    grain = turbulence(points, 26.0, 3)
    tone = np.clip(0.62 * wide + 0.26 * fine + 0.13 * grain + 0.02, 0.0, 1.0)
    stops = np.array([0.0, 0.3, 0.6, 0.85, 1.0])
    ramp = np.array(
        [(0.004, 0.035, 0.024), (0.008, 0.10, 0.062), (0.022, 0.26, 0.15), (0.13, 0.50, 0.33), (0.42, 0.76, 0.58)]
    )
    return np.column_stack([np.interp(tone, stops, ramp[:, k]) for k in range(3)]).astype(np.float32)


def gold(points: Points) -> Colours:
    """Beaten and worn: bright hammer marks, brown in between."""
    marks = turbulence(points, 18.0, 3)
    worn = np.clip(0.55 + 0.55 * marks, 0.0, 1.0)[:, None]
    dark, bright = np.array([0.20, 0.085, 0.02]), np.array([0.95, 0.60, 0.20])
    return np.asarray(dark + (bright - dark) * worn**1.3, np.float32)


def terrazzo(points: Points, seed: int = 3) -> Colours:
    """Stone chips of many colours and sizes in pale cement."""
    rng = np.random.default_rng(seed)
    colour = np.array([0.56, 0.52, 0.46]) * (1.0 + 0.10 * turbulence(points, 9.0, 4))[:, None]
    kinds = np.array(
        [
            (0.30, 0.10, 0.055),
            (0.62, 0.42, 0.22),
            (0.06, 0.065, 0.07),
            (0.80, 0.78, 0.74),
            (0.13, 0.19, 0.16),
            (0.35, 0.33, 0.32),
        ]
    )
    for count, border, share in ((1000, 0.018, 0.55), (6500, 0.007, 0.5)):
        centres = rng.uniform(-1.6, 1.6, (count, 2))
        spot = points[:, :2] + 0.02 * np.column_stack([noise(points, 11.0), noise(points + 3.1, 11.0)])
        distance, cell = cKDTree(centres).query(spot, k=2)
        # A soft edge, about as wide as the grid that carries the colours is fine.
        inner = np.clip((distance[:, 1] - distance[:, 0] - border) / 0.008, 0.0, 1.0)
        shown = inner * (rng.random(count) < share)[cell[:, 0]]
        chip = kinds[rng.integers(0, len(kinds), count)] * rng.uniform(0.75, 1.2, (count, 1))
        veined = chip[cell[:, 0]] * (1.0 + 0.22 * turbulence(points, 30.0, 2))[:, None]
        colour = colour + shown[:, None] * (veined - colour)
    return np.asarray(np.clip(colour, 0.0, 1.0), np.float32)
