"""Scripts come with all that they import, and are kept by the browser."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from flask.testing import FlaskClient

_LINK = re.compile(r'(?:rel="modulepreload" href|<script type="module" src)="([^"]+)"')
_IMPORT = re.compile(r'(?:from|^import) "\./([^"]+)";', re.MULTILINE)


@pytest.mark.parametrize("page", ["/", "/new"])
def test_what_a_module_imports_is_asked_for_with_it(client: FlaskClient, page: str) -> None:
    asked = set(_LINK.findall(client.get(page).get_data(as_text=True)))
    assert len(asked) > 5
    for address in asked:
        answer = client.get(address)
        assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
        assert "immutable" in answer.headers["Cache-Control"]
        imported = _IMPORT.findall(answer.get_data(as_text=True))
        assert {str(PurePosixPath(address).parent / name) for name in imported} <= asked


def test_jobs_without_a_picture_share_one(client: FlaskClient) -> None:
    body = {"image_urls": [f"https://photos.example.com/{index}.jpg" for index in range(3)]}
    for _ in range(2):
        assert client.post("/api/v1/reconstruct", json=body).status_code == 202
    pictures = re.findall(r'<img src="([^"]+no-picture[^"]+)"', client.get("/").get_data(as_text=True))
    assert len(pictures) == 2
    assert len(set(pictures)) == 1
    assert client.get(pictures[0]).mimetype == "image/svg+xml"
