from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meshroom_tasks.cpu_engine import mesh
from meshroom_tasks.cpu_engine.atlas import box_sizes, pack, plan_layout
from meshroom_tasks.cpu_engine.charts import make_charts
from meshroom_tasks.cpu_engine.face_views import UNSEEN, FaceViews, face_views, nearest_around
from meshroom_tasks.cpu_engine.labelling import consistent_views, exposure_gains, label_faces
from meshroom_tasks.cpu_engine.obj import write_obj
from meshroom_tasks.cpu_engine.scene import Camera
from meshroom_tasks.cpu_engine.seam_levelling import seam_corrections, spread_colours
from meshroom_tasks.cpu_engine.texture import GREY, TexturedMesh, TextureOptions, texture_mesh
from meshroom_tasks.raster import interpolate, rasterise
from tests.cpu_engine import dense_scenes as scenes

OPTIONS = TextureOptions(
    max_side=1024,
    density=1.0,
    padding=3,
    max_angle=80.0,
    photos_a_face=4,
    smoothness=0.3,
    level_exposure=True,
    fill_unseen=True,
)
VERTICES, FACES = scenes.surface(0.2, 0.05, side=25)
CAMERAS = scenes.cameras(4)


def photos(brightness: tuple[float, ...] = (1, 1, 1, 1)) -> list[NDArray[np.uint8]]:
    colours = cv2.GaussianBlur(scenes.pattern(), (0, 0), 5) * 0.8
    return [scenes.photograph(c, VERTICES, FACES, colours * b)[0] for c, b in zip(CAMERAS, brightness, strict=True)]


def textured(images: list[NDArray[np.uint8]], options: TextureOptions = OPTIONS) -> TexturedMesh:
    return texture_mesh(VERTICES, FACES, CAMERAS, images.__getitem__, options, lambda done, total, what: None)


def render(result: TexturedMesh, camera: Camera) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What a camera sees of the textured sheet, and where."""
    pixels, depth = camera.project(VERTICES)
    face, _ = rasterise(pixels[FACES], depth[FACES], (camera.height, camera.width))
    places = interpolate(face, pixels[FACES], depth[FACES], result.texels)
    image = cv2.remap(result.image, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
    return image.astype(np.float32), face >= 0


def views_of(view: list[list[int]], colour: list[list[float]]) -> FaceViews:
    levels = np.repeat(np.array(colour, np.float32)[..., None], 3, axis=2)
    return FaceViews(np.array(view, np.int32), np.ones((len(view), len(view[0])), np.float32), levels)


def test_the_rendered_model_is_the_photo() -> None:
    images = photos()
    result = textured(images)
    assert result.seen > 0.95
    for camera, image in zip(CAMERAS, images, strict=True):
        seen, where = render(result, camera)
        difference = np.abs(seen - image).mean(axis=2)[where]
        assert np.median(difference) < 3
        assert np.percentile(difference, 90) < 14


def test_different_exposures_leave_no_seams() -> None:
    result = textured(photos((1.0, 0.8, 1.15, 0.9)))
    even = textured(photos())
    seen, where = render(result, CAMERAS[1])
    expected, _ = render(even, CAMERAS[1])
    ratio = cv2.blur(seen.mean(axis=2), (5, 5))[where] / np.maximum(cv2.blur(expected.mean(axis=2), (5, 5))[where], 1)
    assert ratio.std() / ratio.mean() < 0.05


def test_an_obstacle_in_one_photo_is_not_painted_on_the_mesh() -> None:
    images = photos()
    clean = textured(images)
    images[2] = images[2].copy()
    images[2][40:80, 60:100] = (255, 0, 255)
    blotched = textured(images)
    for camera in CAMERAS:
        seen, where = render(blotched, camera)
        expected, _ = render(clean, camera)
        wrong = (np.abs(seen - expected).max(axis=2) > 80) & where
        assert wrong.sum() < 0.01 * where.sum()


def test_unseen_faces_take_the_colour_about_them_or_stay_grey() -> None:
    turned = FACES.copy()
    turned[300:320] = turned[300:320, ::-1]
    for fill in (True, False):
        options = TextureOptions(**{**OPTIONS.__dict__, "fill_unseen": fill})
        result = texture_mesh(VERTICES, turned, CAMERAS, photos().__getitem__, options, lambda *_: None)
        x, y = np.rint(result.texels[300:320].mean(axis=1)).astype(int).T
        colours = result.image[y, x].astype(float)
        assert (colours == GREY).all() == (not fill)
        assert result.seen < 0.985


def test_a_texture_smaller_than_the_photos_is_coarser_never_larger() -> None:
    full, small = textured(photos()), textured(photos(), TextureOptions(**{**OPTIONS.__dict__, "density": 0.5}))
    tight = textured(photos(), TextureOptions(**{**OPTIONS.__dict__, "max_side": 128}))
    assert full.density == 1.0
    assert small.density <= 0.5
    assert tight.image.shape[:2] == (128, 128)
    assert tight.density < 1.0
    seen, where = render(tight, CAMERAS[1])
    assert np.median(np.abs(seen - photos()[1]).mean(axis=2)[where]) < 20


def test_obj_coordinates_put_the_same_pixels_on_the_mesh_in_another_reader(tmp_path: Path) -> None:
    result = textured(photos())
    cv2.imwrite(str(tmp_path / "texture_1001.png"), result.image)
    write_obj(tmp_path / "m.obj", VERTICES, FACES, result.texels, "texture_1001.png", result.image.shape[:2])
    loaded = trimesh.load(tmp_path / "m.obj", process=False)
    assert len(loaded.faces) == len(FACES)
    middles = loaded.triangles_center
    colours = loaded.visual.material.to_color(loaded.visual.uv[loaded.faces].mean(axis=1))[:, :3]
    pixels, _ = CAMERAS[1].project(middles)
    inside = ((pixels > 4) & (pixels < (scenes.WIDTH - 5, scenes.HEIGHT - 5))).all(axis=1)
    x, y = np.rint(pixels[inside]).astype(int).T
    difference = np.abs(colours[inside].astype(float) - photos()[1][y, x, ::-1])
    assert np.median(difference) < 12


def test_a_face_is_seen_only_whole_in_front_and_at_a_fair_angle() -> None:
    wall = np.array([[-0.4, -0.4, -0.5], [0.4, -0.4, -0.5], [0.4, 0.4, -0.5], [-0.4, 0.4, -0.5]])
    vertices = np.concatenate([VERTICES, wall])
    n = len(VERTICES)
    faces = np.concatenate([FACES, [[n, n + 2, n + 1], [n, n + 3, n + 2]]])
    black = np.zeros((scenes.HEIGHT, scenes.WIDTH, 3), np.uint8)
    found = face_views(CAMERAS[1:3], lambda view: black, vertices, faces, 3, 80.0)
    assert (found.view[-2:, 0] != UNSEEN).all()
    assert (found.view[:, 2] == UNSEEN).all()
    middles = vertices[faces].mean(axis=1)
    hidden = (np.abs(middles[:, :2]) < 0.2).all(axis=1) & (middles[:, 2] > -0.4)
    assert hidden.sum() > 5
    assert (found.view[hidden, 0] == UNSEEN).all()
    assert (np.diff(found.quality, axis=1) <= 0).all()
    behind = face_views(CAMERAS[:1], lambda view: black, vertices, faces[:, ::-1].copy(), 1, 80.0)
    assert (behind.view == UNSEEN).all()


def test_beside_a_silhouette_the_background_counts_as_hidden() -> None:
    depth = np.full((5, 5), 9.0, np.float32)
    depth[2, 2] = 1.0
    assert (nearest_around(depth)[1:4, 1:4] == 1.0).all()


def test_the_photo_that_disagrees_is_left_out_and_two_photos_prove_nothing() -> None:
    views = views_of([[0, 1, 2, 3], [0, 1, -1, -1]], [[100, 104, 98, 220], [100, 220, 0, 0]])
    agrees = consistent_views(views, np.ones((4, 3), np.float32))
    assert agrees.tolist() == [[True, True, True, False], [True, True, False, False]]
    kept = views.select(np.array([[False, True, True, False], [True, True, False, False]]))
    assert kept.view.tolist() == [[1, 2, -1, -1], [0, 1, -1, -1]]


def test_exposures_are_found_from_the_colours() -> None:
    rng = np.random.default_rng(0)
    base, gains = rng.uniform(40, 120, 400), np.array([1.0, 1.5, 0.7])
    views = views_of([[0, 1, 2]] * 400, (base[:, None] * gains).tolist())
    found = exposure_gains(views, 3)
    np.testing.assert_allclose(found[:, 0] * gains, np.full(3, np.cbrt(gains.prod())), rtol=0.01)


def test_labels_form_patches_where_quality_allows() -> None:
    side = 20
    _, faces = scenes.surface(side=side)
    pairs = mesh.adjacent_faces(faces)
    rng = np.random.default_rng(0)
    quality = 1 + 0.1 * rng.random((len(faces), 2)).astype(np.float32)
    order = np.argsort(-quality, axis=1)
    views = FaceViews(order.astype(np.int32), -np.sort(-quality, axis=1), np.zeros((len(faces), 2, 3), np.float32))
    free, joined = label_faces(views, pairs, 0.0), label_faces(views, pairs, 0.5)
    np.testing.assert_array_equal(free, order[:, 0])
    seams = [(labels[pairs[:, 0]] != labels[pairs[:, 1]]).mean() for labels in (free, joined)]
    assert seams[1] < 0.15 < 0.4 < seams[0]
    clear = views.quality.copy()
    clear[:, 1] = 0.01
    strong = FaceViews(views.view, clear, views.colour)
    assert (label_faces(strong, pairs, 0.1) == order[:, 0]).mean() > 0.9


def test_corrections_close_the_step_between_two_photos() -> None:
    labels = np.where(VERTICES[FACES].mean(axis=1)[:, 0] < 0, 0, 3).astype(np.int32)
    levels = {0: 90, 3: 130}
    flat = {k: np.full((scenes.HEIGHT, scenes.WIDTH, 3), level, np.uint8) for k, level in levels.items()}
    shift, colours = seam_corrections(VERTICES, FACES, labels, CAMERAS, flat.__getitem__, np.ones((4, 3), np.float32))
    level = np.array([levels[int(k)] for k in labels])[:, None, None] + shift
    at = {(int(v), int(labels[f])): level[f, c, 0] for f in range(len(FACES)) for c, v in enumerate(FACES[f])}
    seam = {v for v, k in at if k == 0} & {v for v, k in at if k == 3}
    assert len(seam) > 10
    assert max(abs(at[v, 0] - at[v, 3]) for v in seam) < 1.5
    assert np.isfinite(colours[FACES]).all()


def test_colours_spread_from_ring_to_ring() -> None:
    colours = np.full((len(VERTICES), 3), np.nan, np.float32)
    assert (spread_colours(colours, FACES) == GREY).all()
    colours[:25], colours[-25:] = 10, 210
    spread = spread_colours(colours, FACES, smoothing=2000)[:, 0].reshape(25, 25)
    assert (np.diff(spread.mean(axis=1)) > 0).all()
    assert spread.mean() == pytest.approx(110, abs=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=60), st.integers(64, 256))
def test_packed_boxes_never_overlap(boxes: list[tuple[int, int]], side: int) -> None:
    sizes = np.array(boxes, np.int64)
    places = pack(sizes, side, side)
    if places is None:
        assert sizes.prod(axis=1).sum() > side * side // 4 or sizes.max() > side
        return
    taken = np.zeros((side, side), int)
    for (x, y), (width, height) in zip(places, sizes, strict=True):
        assert x >= 0 and y >= 0 and x + width <= side and y + height <= side
        taken[y : y + height, x : x + width] += 1
    assert taken.max() == 1


def test_a_layout_holds_what_the_charts_really_take() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 500, (80, 2))
    high = low + rng.uniform(1, 60, (80, 2))
    layout = plan_layout(high - low, 4, 512, 1.0)
    sizes = box_sizes(low * layout.density, high * layout.density, 4)
    assert pack(np.sort(sizes, axis=1)[:, ::-1], layout.width, layout.height) is not None
    assert layout.width in (256, 512)
    with pytest.raises(ValueError, match="raise textureSide"):
        plan_layout(np.ones((5000, 2)), 50, 64, 1.0)


def test_a_chart_is_a_piece_of_the_photo() -> None:
    labels = np.full(len(FACES), 1, np.int32)
    labels[:40] = UNSEEN
    pairs = mesh.adjacent_faces(FACES)
    charts = make_charts(VERTICES, FACES, pairs, labels, CAMERAS, 1.0)
    pixels, _ = CAMERAS[1].project(VERTICES)
    np.testing.assert_allclose(charts.corners[40:], pixels[FACES[40:]])
    assert set(charts.view[charts.chart[:40]]) == {UNSEEN}
    assert set(charts.view[charts.chart[40:]]) == {1}
