"""Depth maps fused into one cloud of oriented points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine.depth_maps import DepthMap
from meshroom_tasks.cpu_engine.epipolar import transfers
from meshroom_tasks.raster import compiled


@dataclass(frozen=True)
class Cloud:
    """Points (N, 3), unit normals (N, 3) that face the photos, and how many photos gave each point (N,)."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    support: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.points)

    def select(self, mask: NDArray[np.bool_]) -> Cloud:
        return Cloud(self.points[mask], self.normals[mask], self.support[mask])


def fuse(
    maps: list[DepthMap],
    partners: list[list[int]],
    step: int,
    min_support: int,
    tolerance: float = 2.0,
    depth_tolerance: float = 0.01,
    normal_tolerance: float = 30.0,
) -> Cloud:
    """One point for each surface patch, the mean of all photos that see it.

    Photo after photo, every `step`-th pixel in x and y that no earlier photo has used is projected into its partners
    (indices into `maps`); those whose depth there agrees (pixels, share of the depth, degrees between normals) join
    the point and are used up (the fusion of Schoenberger et al., 2016, without its recursion). Points with fewer than
    `min_support` photos are dropped.
    """
    used = [np.zeros(m.depth.shape, np.bool_) for m in maps]
    normals = [world_normals(m) for m in maps]
    chunks: list[Cloud] = []
    for i, reference in enumerate(maps):
        ys, xs = np.nonzero((reference.depth > 0) & ~used[i] & (np.abs(normals[i]).sum(2) > 0))
        grid = (ys % step == 0) & (xs % step == 0)
        ys, xs = ys[grid], xs[grid]
        z = reference.depth[ys, xs].astype(np.float64)
        points = _unproject(reference, xs, ys, z)
        sums = points.copy()
        normal = normals[i][ys, xs].astype(np.float64)
        normal_sums = normal.copy()
        support = np.ones(len(points), np.int32)
        pixels = np.column_stack([xs, ys]).astype(np.float64)
        for j in partners[i]:
            other = maps[j]
            there, back = transfers(reference.camera, other.camera)
            pose = np.column_stack([other.camera.R, other.camera.t])
            _join(
                pixels,
                z,
                normal,
                other.depth,
                normals[j],
                there,
                back,
                np.ascontiguousarray(pose),
                np.linalg.inv(other.camera.K).astype(np.float64),
                tolerance,
                depth_tolerance,
                float(np.cos(np.radians(normal_tolerance))),
                step,
                used[j],
                sums,
                normal_sums,
                support,
            )
        length = np.linalg.norm(normal_sums, axis=1)
        cloud = Cloud(sums / support[:, None], normal_sums / np.maximum(length, 1e-12)[:, None], support)
        chunks.append(cloud.select((support >= min_support) & (length > 0)))
    return Cloud(
        np.concatenate([c.points for c in chunks]) if chunks else np.zeros((0, 3)),
        np.concatenate([c.normals for c in chunks]) if chunks else np.zeros((0, 3)),
        np.concatenate([c.support for c in chunks]) if chunks else np.zeros(0, np.int32),
    )


def sampling_step(maps: list[DepthMap], least: int, most: int) -> int:
    """The least step in pixels, `least` or more, at which no more than about `most` depths are in use."""
    known = sum(int((m.depth > 0).sum()) for m in maps)
    return max(least, int(np.ceil(np.sqrt(known / most))))


def world_normals(depth_map: DepthMap, reach: int = 2, jump: float = 0.02) -> NDArray[np.float32]:
    """(H, W, 3) unit normals in the world, towards the camera; zero where a neighbour at `reach` pixels is missing.

    The cross product of central differences of the unprojected map; a neighbour whose depth differs by more than the
    share `jump` for each pixel of distance belongs to another surface.
    """
    normals = np.zeros((*depth_map.depth.shape, 3), np.float32)
    camera = depth_map.camera
    _normals(
        np.ascontiguousarray(depth_map.depth),
        np.linalg.inv(camera.K).astype(np.float64),
        camera.R,
        reach,
        jump * reach,
        normals,
    )
    return normals


def _unproject(
    depth_map: DepthMap, xs: NDArray[np.int64], ys: NDArray[np.int64], z: NDArray[np.float64]
) -> NDArray[np.float64]:
    camera = depth_map.camera
    rays = np.column_stack([xs, ys, np.ones(len(xs))]) @ np.linalg.inv(camera.K).T
    world: NDArray[np.float64] = (rays * z[:, None] - camera.t) @ camera.R
    return world


@compiled("void(float32[:,::1], float64[:,:], float64[:,:], int64, float64, float32[:,:,::1])")
def _normals(
    depth: NDArray[np.float32],
    inverse_k: NDArray[np.float64],
    rotation: NDArray[np.float64],
    reach: int,
    jump: float,
    normals: NDArray[np.float32],
) -> None:
    height, width = depth.shape
    across = np.zeros(3)
    down = np.zeros(3)
    for y in range(reach, height - reach):
        for x in range(reach, width - reach):
            z = depth[y, x]
            left, right = depth[y, x - reach], depth[y, x + reach]
            above, below = depth[y - reach, x], depth[y + reach, x]
            if min(z, min(min(left, right), min(above, below))) <= 0:
                continue
            if max(max(abs(left - z), abs(right - z)), max(abs(above - z), abs(below - z))) > jump * z:
                continue
            for k in range(3):
                ray = inverse_k[k, 0] * x + inverse_k[k, 1] * y + inverse_k[k, 2]
                across[k] = ray * (right - left) + reach * inverse_k[k, 0] * (right + left)
                down[k] = ray * (below - above) + reach * inverse_k[k, 1] * (below + above)
            a = down[1] * across[2] - down[2] * across[1]
            b = down[2] * across[0] - down[0] * across[2]
            c = down[0] * across[1] - down[1] * across[0]
            length = np.sqrt(a * a + b * b + c * c)
            if length > 0:
                for k in range(3):
                    normals[y, x, k] = (rotation[0, k] * a + rotation[1, k] * b + rotation[2, k] * c) / length


@compiled(
    "void(float64[:,::1], float64[::1], float64[:,::1], float32[:,::1], float32[:,:,::1], float64[:,::1],"
    " float64[:,::1], float64[:,::1], float64[:,:], float64, float64, float64, int64, boolean[:,::1], float64[:,::1],"
    " float64[:,::1], int32[::1])"
)
def _join(
    pixels: NDArray[np.float64],
    depth: NDArray[np.float64],
    normal: NDArray[np.float64],
    other: NDArray[np.float32],
    other_normal: NDArray[np.float32],
    there: NDArray[np.float64],
    back: NDArray[np.float64],
    pose: NDArray[np.float64],
    inverse_k: NDArray[np.float64],
    tolerance: float,
    depth_tolerance: float,
    least_cosine: float,
    step: int,
    used: NDArray[np.bool_],
    sums: NDArray[np.float64],
    normal_sums: NDArray[np.float64],
    support: NDArray[np.int32],
) -> None:
    height, width = other.shape
    half = step // 2
    for p in range(pixels.shape[0]):
        x, y, z = pixels[p, 0], pixels[p, 1], depth[p]
        z2 = (there[2, 0] * x + there[2, 1] * y + there[2, 2]) * z + there[2, 3]
        if z2 <= 0:
            continue
        u = ((there[0, 0] * x + there[0, 1] * y + there[0, 2]) * z + there[0, 3]) / z2
        v = ((there[1, 0] * x + there[1, 1] * y + there[1, 2]) * z + there[1, 3]) / z2
        if not (u > -0.5 and v > -0.5 and u < width - 0.5 and v < height - 0.5):
            continue
        iu, iv = int(u + 0.5), int(v + 0.5)
        seen = other[iv, iu]
        if seen <= 0:
            continue
        z3 = (back[2, 0] * iu + back[2, 1] * iv + back[2, 2]) * seen + back[2, 3]
        if abs(z3 - z) > depth_tolerance * z:
            continue
        dx = ((back[0, 0] * iu + back[0, 1] * iv + back[0, 2]) * seen + back[0, 3]) / z3 - x
        dy = ((back[1, 0] * iu + back[1, 1] * iv + back[1, 2]) * seen + back[1, 3]) / z3 - y
        if dx * dx + dy * dy > tolerance * tolerance:
            continue
        n = other_normal[iv, iu]
        cosine = n[0] * normal[p, 0] + n[1] * normal[p, 1] + n[2] * normal[p, 2]
        if cosine < least_cosine:
            continue
        support[p] += 1
        # What this photo saw at that pixel, in the world: R^T (K^-1 (u, v, 1) z - t).
        a = (inverse_k[0, 0] * iu + inverse_k[0, 1] * iv + inverse_k[0, 2]) * seen - pose[0, 3]
        b = (inverse_k[1, 0] * iu + inverse_k[1, 1] * iv + inverse_k[1, 2]) * seen - pose[1, 3]
        c = seen - pose[2, 3]
        for k in range(3):
            sums[p, k] += pose[0, k] * a + pose[1, k] * b + pose[2, k] * c
            normal_sums[p, k] += n[k]
        for yy in range(max(iv - half, 0), min(iv + half, height - 1) + 1):
            for xx in range(max(iu - half, 0), min(iu + half, width - 1) + 1):
                if abs(other[yy, xx] - seen) <= depth_tolerance * seen:
                    used[yy, xx] = True
