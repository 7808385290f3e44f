"""Which photos somebody means."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.client import NoPhotos
from meshroom_tasks.client.photos import find_photos


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_folders_files_and_addresses(tmp_path: Path) -> None:
    folder = made(tmp_path / "chair", "b.JPG", "a.jpg", "deep/c.png", "notes.txt", ".DS_Store")
    other = made(tmp_path, "set.zip") / "set.zip"
    found = find_photos([folder, "https://example.com/1.jpg", str(other), "s3://bucket/key", "upload://abc"])
    assert list(found.files) == ["a.jpg", "b.JPG", "deep/c.png", "set.zip"]
    assert found.files["deep/c.png"] == folder / "deep" / "c.png"
    assert found.urls == ("https://example.com/1.jpg", "s3://bucket/key", "upload://abc")


def test_the_same_name_in_three_folders(tmp_path: Path) -> None:
    folders = [made(tmp_path / name, "1.jpg") for name in ("x", "y", "z")]
    found = find_photos(folders)
    assert found.files == {
        f"{prefix}1.jpg": folder / "1.jpg" for prefix, folder in zip(("", "2/", "3/"), folders, strict=True)
    }


def test_what_is_there_not(tmp_path: Path) -> None:
    made(tmp_path / "empty", "notes.txt")
    with pytest.raises(NoPhotos, match="there is no photo in"):
        find_photos([tmp_path / "empty"])
    with pytest.raises(NoPhotos, match="neither a file nor a folder"):
        find_photos([tmp_path / "gone"])
    with pytest.raises(NoPhotos, match="no photos were given"):
        find_photos([])
