"""What a browser is told with every answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Response
from flask.testing import FlaskClient

from meshroom_tasks.settings import load_settings
from tests.web.conftest import IMAGES, Site
from tests.web.test_auth import routes
from web.security_headers import policy_of_pages, results_origin

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def test_every_route_with_and_without_a_key(make_site: Callable[..., Site]) -> None:
    site = make_site(wrong_keys_per_minute=1000)
    tried = [*routes(site), ("GET", "/nothing"), ("GET", "/api/v1/nothing"), ("BREW", "/"), ("POST", "/docs")]
    for visitor in (site.client(), site.visitor()):
        for method, path in tried:
            answer = visitor.open(path, method=method)
            assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS, (method, path)
            for name in (*ALWAYS, "Content-Security-Policy"):
                assert len(answer.headers.getlist(name)) == 1, (name, method, path)
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none';"), (method, path)
            assert "frame-ancestors 'none'" in policy
            assert not re.search(r"[^-]unsafe-eval|script-src[^;]*('unsafe-inline'|\*|data:|https?:)", policy), path
            if path.startswith("/api/"):
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert "Access-Control-Allow-Origin" not in answer.headers


def test_answers_that_are_no_pages_may_do_nothing(client: FlaskClient) -> None:
    for path in ("/healthz", "/api/v1/jobs", "/nothing", "/results/x/y.obj", "/openapi.json", "/docs/assets/start.js"):
        assert client.get(path).headers["Content-Security-Policy"] == (
            "default-src 'none'; frame-ancestors 'none'; sandbox"
        ), path


def test_pages_load_from_here_alone(site: Site) -> None:
    site.app.add_url_rule("/page", "test.page", lambda: Response("<!doctype html>", mimetype="text/html"))
    policy = site.client().get("/page").headers["Content-Security-Policy"]
    assert policy == policy_of_pages()
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "form-action 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({}, ""),
        ({"storage_url": "s3://b", "aws_endpoint_url": "http://store:8333"}, "http://store:8333"),
        ({"storage_url": "s3://b", "aws_endpoint_url": "http://store:8333", "aws_presigned_urls": False}, ""),
        (
            {
                "storage_url": "s3://b/p",
                "aws_endpoint_url": "http://a",
                "aws_public_endpoint_url": "https://f.example/x",
            },
            "https://f.example",
        ),
        ({"storage_url": "s3://b/p", "aws_region": "eu-west-1"}, "https://b.s3.eu-west-1.amazonaws.com"),
    ],
)
def test_pages_may_fetch_results_where_they_are(settings: dict[str, object], origin: str) -> None:
    assert results_origin(load_settings(**settings)) == origin
    assert (f"connect-src 'self' blob: {origin};" if origin else "connect-src 'self' blob:;") in policy_of_pages(origin)


def test_browsers_are_held_to_tls_where_the_service_is_reached_by_it(make_site: Callable[..., Site]) -> None:
    answer = make_site(public_url="https://models.example.com").visitor().get("/healthz")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert "Strict-Transport-Security" not in make_site().visitor().get("/healthz").headers


def test_results_may_be_shown_by_pages_of_any_origin(site: Site) -> None:
    job_id = site.submit(image_urls=IMAGES)
    site.finish(job_id, {"model.glb": b"glTF"})
    answer = site.visitor().get(f"/results/{job_id}/model.glb")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers
