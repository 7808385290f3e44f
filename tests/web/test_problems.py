"""Errors of all origins look the same."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.errors import StorageUnavailable
from tests.web.conftest import Site
from tests.web.problem import assert_problem
from web.bodies import MAX_BYTES


def test_unknown_address(client: FlaskClient, visitor: FlaskClient) -> None:
    assert_problem(client.get("/api/v1/nothing"), 404, "not_found")
    assert_problem(visitor.get("/nothing"), 404, "not_found")


def test_method_not_allowed_says_which_are(client: FlaskClient) -> None:
    answer = client.get("/api/v1/reconstruct")
    assert_problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("body", [b"{", b'{"image_urls": [}', b"\xff\xfe", b"[" * 200_000])
def test_malformed_json(client: FlaskClient, body: bytes) -> None:
    assert_problem(
        client.post("/api/v1/reconstruct", data=body, content_type="application/json"), 400, "malformed_json"
    )


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_undeclared_json(client: FlaskClient, content_type: str | None) -> None:
    answer = client.post("/api/v1/reconstruct", data=b'{"image_urls": []}', content_type=content_type)
    body = assert_problem(answer, 415, "unsupported_media_type")
    assert "application/json" in body["detail"]


def test_a_body_that_is_too_large(client: FlaskClient) -> None:
    fits = b'"' + b"a" * (MAX_BYTES - 2) + b'"'
    assert client.post("/api/v1/reconstruct", data=fits, content_type="application/json").status_code == 422
    answer = client.post("/api/v1/reconstruct", data=fits + b" ", content_type="application/json")
    assert_problem(answer, 413, "request_too_large")


@pytest.mark.parametrize("path", ["/api/v1/jobs?limitt=3", "/api/v1/jobs/abc?verbose=1", "/api/v1/pipelines?x"])
def test_unknown_parameters(client: FlaskClient, path: str) -> None:
    name = path.split("?")[1].split("=")[0]
    assert_problem(client.get(path), 422, "request_refused", f"/{name}")


def test_a_parameter_given_twice(client: FlaskClient) -> None:
    assert_problem(client.get("/api/v1/jobs?limit=1&limit=2"), 422, "request_refused", "/limit")


def test_a_bug_tells_nothing_and_is_logged_under_its_id(
    site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job_id: str) -> None:
        raise RuntimeError("secret internals")

    monkeypatch.setattr(site.store, "stamp", fail)
    answer = client.get("/api/v1/jobs/abc", headers={"X-Request-ID": "my-own-id-1"})
    body = assert_problem(answer, 500, "internal_error")
    assert body["request_id"] == "my-own-id-1"
    assert "secret" not in answer.get_data(as_text=True)


def test_a_part_that_is_away_is_503_and_says_when_to_come_back(
    site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job_id: str, **_: object) -> None:
        raise StorageUnavailable("the storage does not answer")

    monkeypatch.setattr(site.store, "stamp", fail)
    answer = client.get("/api/v1/jobs/abc")
    assert_problem(answer, 503, "storage_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("sent", ["abcd1234", "A-b_9" * 12])
def test_a_usable_request_id_comes_back(visitor: FlaskClient, sent: str) -> None:
    assert visitor.get("/healthz", headers={"X-Request-ID": sent}).headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["short", "a" * 65, "with space", "semi;colon", "naïve-id-1"])
def test_another_request_id_is_replaced(visitor: FlaskClient, sent: str) -> None:
    given = visitor.get("/healthz", headers={"X-Request-ID": sent}).headers["X-Request-ID"]
    assert given != sent
    assert len(given) == 32


def test_security_headers_on_every_kind_of_answer(client: FlaskClient) -> None:
    for path in ("/healthz", "/docs", "/api/v1/jobs", "/nothing", "/results/x/y.obj"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert len(headers.getlist("X-Content-Type-Options")) == 1
