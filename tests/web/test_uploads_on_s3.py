"""Uploads where objects are in S3: straight to the store, or through the app where clients do not reach it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.servers.seaweedfs import SeaweedFS
from tests.web.conftest import Site
from tests.web.problem import assert_problem
from tests.web.test_uploads import DATA, NAMES, begin, path_of, send_all


@pytest.fixture
def make_s3_site(make_site: Callable[..., Site], seaweedfs: SeaweedFS) -> Callable[..., Site]:
    """The bucket is not there yet."""

    def make(**overrides: object) -> Site:
        return make_site(**seaweedfs.settings(f"uploads-{uuid.uuid4().hex}/service", **overrides))

    return make


def post(file: Any, body: bytes) -> int:
    send = file["send"]
    assert send["method"] == "POST"
    form = {"file": (file["name"], body)}
    return requests.post(send["url"], data=send["fields"], files=form, timeout=60).status_code


def test_files_go_straight_to_the_store(make_s3_site: Callable[..., Site]) -> None:
    site = make_s3_site()
    client = site.client()
    upload = begin(client)
    path = f"/api/v1/uploads/{upload['upload_id']}"
    for file, body in zip(upload["files"], DATA, strict=True):
        assert post(file, body + b"!") == post(file, body[:-1]) == post(file, b"x" * 3_000_000) == 400
    assert client.get(path).get_json()["missing"] == NAMES
    refused = client.post("/api/v1/reconstruct", json={"image_urls": [upload["url"]]})
    assert_problem(refused, 422, "upload_incomplete", "/image_urls/0")
    for file, body in zip(upload["files"], DATA, strict=True):
        with ThreadPoolExecutor(3) as pool:
            assert all(status in (200, 201, 204) for status in pool.map(post, [file] * 3, [body] * 3))
    assert client.get(path).get_json()["complete"]
    assert [site.storage.get_bytes(key) for key in site.storage.list("uploads")] == DATA
    assert site.store.job(site.submit(image_urls=[upload["url"]])).image_count == 3


def test_the_form_of_one_file_is_for_no_other(make_s3_site: Callable[..., Site]) -> None:
    upload = begin(make_s3_site().client())
    first, second = upload["files"][:2]
    first["send"]["fields"]["key"] = second["send"]["fields"]["key"]
    assert post(first, DATA[0]) == 403


def test_where_clients_do_not_reach_the_store_the_app_takes_them(make_s3_site: Callable[..., Site]) -> None:
    site = make_s3_site(aws_presigned_urls=False)
    client = site.client()
    upload = begin(client)
    first = path_of(site, upload["files"][0])
    assert_problem(client.put(first, data=DATA[0] + b"!"), 413, "upload_too_large")
    assert_problem(client.put(first, data=DATA[0][:-1]), 422, "upload_damaged")
    assert list(site.storage.list("uploads")) == []
    send_all(site, client, upload)
    path = f"/api/v1/uploads/{upload['upload_id']}"
    assert client.get(path).get_json()["complete"]
    assert client.delete(path).status_code == 204
    assert list(site.storage.list("uploads")) == []


def test_a_store_that_is_away_is_503(make_s3_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_s3_site(aws_endpoint_url="http://127.0.0.1:9")
    monkeypatch.setattr(site.storage._calls, "_patience", 0.1)  # type: ignore[attr-defined]
    answer = site.client().post("/api/v1/uploads", json={"files": [{"name": "1.jpg", "size": 5}]})
    assert_problem(answer, 503, "storage_unavailable")
