from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from tests.web.conftest import KEY, Site
from tests.web.problem import assert_problem
from web.auth import OPEN_ENDPOINTS

OPEN_PATHS = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/assets/<name>",
    "/results/<id:job_id>/<file:name>",
    "/results/<id:job_id>/all.zip",
    "/sign-in",
    "/sign-out",
    "/static/<id:digest>/<path:name>",
}


def routes(site: Site) -> list[tuple[str, str]]:
    """Every method and path of the app, parameters filled in."""
    found = []
    for rule in site.app.url_map.iter_rules():
        path = rule.rule
        for argument in (
            "id:job_id",
            "id:delivery_id",
            "id:upload_id",
            "id:digest",
            "file:name",
            "path:name",
            "stage",
            "name",
        ):
            path = path.replace(f"<{argument}>", "x")
        path = path.replace("<int:number>", "0")
        assert "<" not in path
        found += [(method, path) for method in (rule.methods or set())]
    return found


def test_what_is_open_is_exactly_what_is_meant_to_be(site: Site) -> None:
    opened = {rule.rule for rule in site.app.url_map.iter_rules() if rule.endpoint in OPEN_ENDPOINTS}
    assert opened == OPEN_PATHS


@pytest.mark.parametrize("key", [None, "", "wrong", KEY[:-1], f"{KEY}x", "ключ".encode().decode("latin-1")])
def test_every_route_under_api_needs_the_key(make_site: Callable[..., Site], key: str | None) -> None:
    site = make_site(wrong_keys_per_minute=1000)
    visitor = site.visitor()
    headers = {} if key is None else {"X-API-Key": key}
    tried = [(method, path) for method, path in routes(site) if path.startswith("/api/")]
    assert len(tried) > 20
    for method, path in [*tried, ("GET", "/api/v1/nothing"), ("PUT", "/api/v1/jobs")]:
        answer = visitor.open(path, method=method, headers=headers)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"]
        if method != "HEAD":
            assert_problem(answer, 401, "unauthorized")


def test_the_key_is_judged_before_the_body(visitor: FlaskClient) -> None:
    answer = visitor.post("/api/v1/reconstruct", data=b"{", content_type="application/json")
    assert_problem(answer, 401, "unauthorized")


def test_open_routes_answer_without_a_key(visitor: FlaskClient) -> None:
    for path in ("/healthz", "/openapi.json", "/docs"):
        assert visitor.get(path).status_code == 200, path
    assert_problem(visitor.get("/readyz"), 503, "not_ready")


@pytest.mark.parametrize("empty", ["", "   "])
def test_the_app_does_not_start_without_a_key(make_site: Callable[..., Site], empty: str) -> None:
    with pytest.raises(ValueError, match="X_API_KEY"):
        make_site(x_api_key=SecretStr(empty))
