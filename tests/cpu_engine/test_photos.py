from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from meshroom_tasks.cpu_engine.photos import PhotoError, find_photos, read_header, viewpoints_and_intrinsics
from meshroom_tasks.cpu_engine.sfm_data import Intrinsic, Pose, read_sfm, views_of, write_sfm

Base = ExifTags.Base


def photo(path: Path, size: tuple[int, int] = (80, 60), **tags: Any) -> Path:
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for name, value in tags.items():
        tag = Base[name]
        (exif if name in ("Make", "Model", "Orientation") else details)[tag] = value
    Image.new("RGB", size).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("size", "tags", "focal"),
    [
        ((80, 60), {"FocalLengthIn35mmFilm": 28}, 28 / math.hypot(36, 24) * 100),
        ((60, 80), {"FocalLengthIn35mmFilm": 28}, 28 / math.hypot(36, 24) * 100),
        (
            (400, 300),
            {
                "FocalLength": 50.0,
                "FocalPlaneXResolution": 100.0,
                "FocalPlaneResolutionUnit": 3,
                "ExifImageWidth": 4000,
            },
            50.0,
        ),
        ((80, 60), {"FocalLength": 4.0}, None),
        ((80, 60), {"FocalLengthIn35mmFilm": 0}, None),
        ((80, 60), {}, None),
    ],
    ids=["35 mm", "35 mm, portrait", "pixel pitch", "no sensor size", "zero", "nothing"],
)
def test_focal_length(tmp_path: Path, size: tuple[int, int], tags: dict[str, Any], focal: float | None) -> None:
    header = read_header(photo(tmp_path / "a.jpg", size, **tags))
    assert header.focal == (None if focal is None else pytest.approx(focal))
    assert (header.width, header.height) == size


def test_a_default_field_of_view_stands_in(tmp_path: Path) -> None:
    headers = [read_header(photo(tmp_path / "a.jpg", (60, 80)))]
    _, (record,) = viewpoints_and_intrinsics(headers, 90.0)
    intrinsic = Intrinsic.from_record(record)
    assert intrinsic.focal == pytest.approx(40)
    assert not intrinsic.known


def test_cameras_are_shared_by_what_is_the_same(tmp_path: Path) -> None:
    same = {"Make": "M", "Model": "A", "FocalLengthIn35mmFilm": 28}
    paths = [
        photo(tmp_path / "0.jpg", **same),
        photo(tmp_path / "1.jpg", **same),
        photo(tmp_path / "2.jpg", **same | {"FocalLengthIn35mmFilm": 50}),
        photo(tmp_path / "3.jpg", **same | {"Model": "B"}),
        photo(tmp_path / "4.jpg", (60, 80), **same),
        photo(tmp_path / "5.jpg"),
        photo(tmp_path / "6.jpg"),
    ]
    views, intrinsics = viewpoints_and_intrinsics([read_header(path) for path in paths], 45.0)
    ids = [view["intrinsicId"] for view in views]
    assert ids[0] == ids[1]
    assert ids[5] == ids[6]
    assert len(set(ids)) == len(intrinsics) == 5
    assert len({view["viewId"] for view in views}) == 7


def test_orientation_is_kept_for_later_and_not_applied(tmp_path: Path) -> None:
    header = read_header(photo(tmp_path / "a.jpg", (80, 60), Orientation=6, FocalLengthIn35mmFilm=28))
    assert (header.width, header.height) == (80, 60)
    (view,) = views_of(*viewpoints_and_intrinsics([header], 45.0))
    assert view.orientation == 6


def test_order_and_kinds_of_files(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "c.jpeg"):
        photo(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden").write_text("x")
    assert [path.name for path in find_photos(tmp_path)] == ["a.PNG", "b.jpg", "c.jpeg"]


def test_what_is_no_photo(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>")
    with pytest.raises(PhotoError, match=r"a\.jpg cannot be read"):
        read_header(tmp_path / "a.jpg")


def test_sfm_files_read_back(tmp_path: Path) -> None:
    paths = [photo(tmp_path / "0.jpg", FocalLengthIn35mmFilm=28, Orientation=8), photo(tmp_path / "1.jpg")]
    views = views_of(*viewpoints_and_intrinsics([read_header(path) for path in paths], 45.0))
    poses = {views[0].view_id: Pose([1.0, 0, 0, 0, 1, 0, 0, 0, 1], [0.1, 0.2, 0.3])}
    write_sfm(tmp_path / "cameras.sfm", views, poses)
    again = read_sfm(tmp_path / "cameras.sfm")
    for before, after in zip(views, again, strict=True):
        assert (before.view_id, before.path, before.orientation) == (after.view_id, after.path, after.orientation)
        assert after.intrinsic.focal == pytest.approx(before.intrinsic.focal, abs=1e-12)
        assert after.intrinsic.known == before.intrinsic.known
        assert after.intrinsic.principal == before.intrinsic.principal
