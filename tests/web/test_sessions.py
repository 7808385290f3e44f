"""Signing in to the pages: what the cookie allows, to whom, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from tests.web.conftest import IMAGES, KEY, Site
from tests.web.problem import assert_problem
from web.app import create_app

COOKIE = "meshroom-tasks-8000"


def sign_in(client: FlaskClient, key: str = KEY, to: str = "/", **headers: str) -> TestResponse:
    return client.post("/sign-in", data={"key": key, "next": to}, headers=headers)


def token(client: FlaskClient) -> str:
    """As a script of the page finds it."""
    return client.get("/").get_data(as_text=True).split('name="csrf-token" content="')[1].split('"')[0]


def submit(client: FlaskClient, **headers: str) -> TestResponse:
    return client.post("/api/v1/reconstruct", json={"image_urls": IMAGES}, headers=headers)


@pytest.mark.parametrize("path", ["/", "/new", "/workers", "/jobs/x", "/jobs/x/picture"])
def test_pages_lead_to_the_form(visitor: FlaskClient, path: str) -> None:
    answer = visitor.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/sign-in?next={path}")


def test_a_script_of_a_page_learns_that_its_session_is_over(visitor: FlaskClient) -> None:
    assert visitor.get("/", headers={"X-Requested-With": "live"}).status_code == 401


def test_a_key_signs_in(visitor: FlaskClient) -> None:
    answer = sign_in(visitor, to="/jobs/x?y=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs/x?y=1")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert KEY not in cookie
    assert visitor.get("/").status_code == 200
    assert visitor.get("/api/v1/jobs").status_code == 200


def test_the_cookie_of_a_service_behind_tls_never_goes_without(make_site: Callable[..., Site]) -> None:
    answer = sign_in(make_site(public_url="https://meshes.example.com").visitor())
    assert answer.headers["Set-Cookie"].startswith("__Host-meshroom-tasks=")
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:1", ""])
def test_the_form_leads_nowhere_else(visitor: FlaskClient, to: str) -> None:
    assert sign_in(visitor, to=to).headers["Location"] == "/"


def test_wrong_keys_are_refused_and_counted(make_site: Callable[..., Site]) -> None:
    client = make_site(wrong_keys_per_minute=2).visitor()
    assert [sign_in(client, "wrong").status_code for _ in range(3)] == [401, 401, 429]
    assert "Set-Cookie" not in sign_in(client, "wrong").headers


@pytest.mark.parametrize("cookie", ["", "x", "WyJYX0FQSV9LRVkiLCJhIiwiYiJd.abcdef.abcdef"])
def test_a_cookie_that_is_not_ours_is_none(visitor: FlaskClient, cookie: str) -> None:
    visitor.set_cookie(COOKIE, cookie, domain="localhost")
    assert visitor.get("/").status_code == 303
    assert_problem(visitor.get("/api/v1/jobs"), 401, "unauthorized")


def test_what_changes_something_needs_the_token(visitor: FlaskClient) -> None:
    sign_in(visitor)
    assert_problem(submit(visitor), 403, "request_forged")
    assert_problem(submit(visitor, **{"X-CSRF-Token": "guess"}), 403, "request_forged")
    assert submit(visitor, **{"X-CSRF-Token": token(visitor)}).status_code == 202


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
def test_the_token_helps_no_other_origin(visitor: FlaskClient, headers: dict[str, str]) -> None:
    sign_in(visitor)
    assert_problem(submit(visitor, **{"X-CSRF-Token": token(visitor), **headers}), 403, "request_forged")
    assert sign_in(visitor, **headers).status_code == 403


def test_an_api_key_needs_no_token(site: Site) -> None:
    assert submit(site.client(), Origin="https://shop.example.com").status_code == 202


def test_a_key_that_is_taken_back_ends_its_sessions_at_once(site: Site) -> None:
    key, row = _key(site, ["read", "submit"])
    client = site.visitor()
    sign_in(client, key)
    assert client.get("/api/v1/jobs").status_code == 200
    site.store.revoke_key(row)
    assert_problem(client.get("/api/v1/jobs"), 401, "unauthorized")
    assert client.get("/").status_code == 303


def test_another_bootstrap_key_ends_the_sessions_of_the_old_one(site: Site) -> None:
    client = site.visitor()
    sign_in(client)
    after = create_app(site.settings.model_copy(update={"x_api_key": SecretStr("another-key-1234567890")}), site.parts)
    client.application = after
    assert client.get("/").status_code == 303


def test_processes_share_sessions(site: Site) -> None:
    client = site.visitor()
    sign_in(client)
    client.application = create_app(site.settings, site.parts)
    assert client.get("/").status_code == 200
    assert (site.settings.data_dir / "session_secret").stat().st_mode & 0o777 == 0o600


def test_a_session_sees_what_its_key_does(site: Site) -> None:
    mine = site.submit()
    other = site.visitor()
    sign_in(other, site.store.create_key("other", ["read"])[0].text)
    assert other.get("/").status_code == 200
    assert other.get(f"/jobs/{mine}").status_code == 404
    assert other.get("/workers").status_code == 403
    assert other.get("/new").status_code == 403


def test_signing_out(visitor: FlaskClient) -> None:
    sign_in(visitor)
    assert visitor.post("/sign-out").status_code == 403
    assert visitor.post("/sign-out", data={"csrf_token": token(visitor)}).status_code == 303
    assert visitor.get("/").status_code == 303


# Open pages


def open_site(make_site: Callable[..., Site], **more: Any) -> FlaskClient:
    """On the port that the test client's `Host: localhost` means."""
    return make_site(**{"pages_open": True, "port": 80, **more}).visitor()


def test_open_pages_say_so_and_need_no_key(make_site: Callable[..., Site]) -> None:
    client = open_site(make_site)
    assert "Open on this machine" in client.get("/").get_data(as_text=True)
    assert submit(client, **{"X-CSRF-Token": token(client)}).status_code == 202
    assert client.get("/workers").status_code == 200


def test_the_api_alone_is_not_open(make_site: Callable[..., Site]) -> None:
    client = open_site(make_site)
    assert_problem(client.get("/api/v1/jobs"), 401, "unauthorized")
    client.get("/")
    assert_problem(submit(client), 403, "request_forged")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1:9000"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
    ],
)
def test_whoever_comes_by_another_name_or_a_proxy_needs_a_key(
    make_site: Callable[..., Site], headers: dict[str, str]
) -> None:
    client = open_site(make_site)
    client.get("/")  # With the session of an open page, too.
    assert client.get("/", headers=headers).status_code == 303
    assert_problem(client.get("/api/v1/jobs", headers=headers), 401, "unauthorized")


def test_another_machine_needs_a_key(make_site: Callable[..., Site]) -> None:
    client = open_site(make_site)
    assert client.get("/", environ_overrides={"REMOTE_ADDR": "192.0.2.7"}).status_code == 303


@pytest.mark.parametrize(
    "more", [{"bind": "0.0.0.0"}, {"public_url": "http://127.0.0.1:8000"}, {"proxy_hops": 1}, {"pages_open": False}]
)
def test_pages_that_others_could_reach_are_never_open(make_site: Callable[..., Site], more: dict[str, Any]) -> None:
    client = open_site(make_site, **more)
    assert client.get("/").status_code == 303


def _key(site: Site, scopes: Any) -> tuple[str, str]:
    key = site.store.create_key("default", scopes)[0]
    return key.text, key.id
