"""The quality gate: which photos were placed, whether they are enough, and what the client is told. Tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.errors import TooFewCameras
from meshroom_tasks.jobs.records import Photo, Work
from meshroom_tasks.registration import Registration, check_registration, judge, of_figures, of_scene, warnings

RECORDED = next((Path(__file__).parent / "data/recorded_run/MeshroomCache/StructureFromMotion").iterdir())


def scene(given: int, placed: int, *, lost: int = 0) -> dict[str, Any]:
    """A scene as AliceVision writes it; the poses of `lost` views are there and not valid."""
    return {
        "version": ["1", "2", "6"],
        "views": [
            {"viewId": str(n), "poseId": str(n), "path": f"/w/photos/{n:04d}_aaaaaaaa.jpg"} for n in range(given)
        ],
        "poses": [
            {"poseId": str(n), "pose": {"transform": {}, "valid": "0" if n >= placed else "1"}}
            for n in range(placed + lost)
        ],
    }


def work(given: int) -> Work:
    photos = tuple(Photo(n, f"{n:04d}_aaaaaaaa.jpg", "a" * 64, 1, 4, 3, "image/jpeg") for n in range(given))
    urls = tuple(f"https://a.example/x/IMG%20{n}.jpg?token=secret" for n in range(given))
    return Work("s", "j", "chunk", "t", 1, "r", urls, "default", {}, ("obj",), photos=photos)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (scene(3, 3), Registration(3, 3, ())),
        (scene(4, 2), Registration(4, 2, ("0002_aaaaaaaa.jpg", "0003_aaaaaaaa.jpg"))),
        (scene(3, 2, lost=1), Registration(3, 2, ("0002_aaaaaaaa.jpg",))),
        ({"views": scene(2, 0)["views"]}, Registration(2, 0, ("0000_aaaaaaaa.jpg", "0001_aaaaaaaa.jpg"))),
        ({}, None),
        ({"views": [{"viewId": "1"}]}, None),
        ({"views": 3}, None),
        ({"views": [], "poses": [7]}, None),
    ],
)
def test_of_scene(content: dict[str, Any], found: Registration | None) -> None:
    assert of_scene(content) == found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (json.loads((RECORDED / "stats.json").read_text()), Registration(23, 23)),
        ({"sfm": {"views": "23", "poses": "2"}}, Registration(23, 2)),
        ({"sfm": {"views": "23", "poses": "?"}}, None),
        ({"sfm": []}, None),
        ({}, None),
    ],
)
def test_of_figures(content: dict[str, Any], found: Registration | None) -> None:
    assert of_figures(content) == found


@pytest.mark.parametrize(
    ("given", "placed", "share", "fails"),
    [
        (23, 23, 0.3, False),
        (23, 7, 0.3, False),
        (23, 6, 0.3, True),
        (3, 3, 1.0, False),
        (4, 3, 1.0, True),
        (100, 3, 0.0, False),
        (100, 2, 0.0, True),
        (3, 2, 0.3, True),
    ],
)
def test_judge(given: int, placed: int, share: float, fails: bool) -> None:
    found = judge(Registration(given, placed), (), share)
    assert (found is not None) == fails
    if found is not None:
        assert found.message.startswith(f"only {placed} of {given} photos")
        assert (found.context["registered"], found.context["given"]) == (placed, given)


def test_the_client_is_told_which_photos(tmp_path: Path) -> None:
    (tmp_path / "cameras.sfm").write_text(json.dumps(scene(10, 2)))
    (tmp_path / "log").write_text("\n".join(str(number) for number in range(80)))
    with pytest.raises(TooFewCameras) as failure:
        check_registration(tmp_path, work(10), 0.3)
    error = failure.value
    assert (
        "(left out: 2: IMG 2.jpg, 3: IMG 3.jpg, 4: IMG 4.jpg, 5: IMG 5.jpg, 6: IMG 6.jpg and 3 more)" in error.message
    )
    assert error.context["left_out"] == [{"index": n, "name": f"IMG {n}.jpg"} for n in range(2, 10)]
    assert "secret" not in json.dumps(error.context)
    assert error.log_tail == tuple(str(number) for number in range(30, 80))


def test_photos_that_were_left_out_though_the_rest_are_enough(tmp_path: Path) -> None:
    (tmp_path / "cameras.sfm").write_text(json.dumps(scene(10, 9)))
    (warning,) = check_registration(tmp_path, work(10), 0.3)
    assert warning["code"] == "photos_not_used"
    assert warning["message"].startswith("only 9 of 10 photos could be placed (left out: 9: IMG 9.jpg)")
    assert warnings(Registration(10, 10, ()), ()) == ()


@pytest.mark.parametrize("text", [None, "{", "[]", '{"views": [{}]}'])
def test_without_a_scene_the_figures_count(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "cameras.sfm").write_text(text)
    assert check_registration(tmp_path, work(5), 0.3) == ()
    (tmp_path / "stats.json").write_text('{"sfm": {"views": "5", "poses": "1"}}')
    with pytest.raises(TooFewCameras, match="only 1 of 5 photos could be placed; "):
        check_registration(tmp_path, work(5), 0.3)
