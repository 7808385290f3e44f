"""Keys of the database at the door: whose, for what, how long; and what becomes of those who guess."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from meshroom_tasks.api_keys import SCOPES, Scope
from meshroom_tasks.errors import DatabaseUnavailable
from meshroom_tasks.jobs import tables
from tests.web.conftest import IMAGES, KEY, Site
from tests.web.problem import assert_problem
from web import keyring
from web.keyring import Caller, KeyRefused, Keyring, TooManyWrongKeys
from web.rates import neighbourhood

MakeSite = Callable[..., Site]


def status(client: FlaskClient, key: str, address: str = "203.0.113.7") -> int:
    environ = {"REMOTE_ADDR": address}
    return client.get("/api/v1/jobs", headers={"X-API-Key": key}, environ_overrides=environ).status_code


def change(site: Site, key_id: str, **values: object) -> None:
    with site.store.database.transaction() as connection:
        connection.execute(sa.update(tables.api_key).where(tables.api_key.c.id == key_id).values(**values))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered of a key."""
    monkeypatch.setattr(keyring, "REMEMBERED_SECONDS", 0.0)


NEEDED: list[tuple[str, str, Scope]] = [
    ("GET", "/api/v1/jobs", "read"),
    ("GET", "/api/v1/pipelines", "read"),
    ("POST", "/api/v1/reconstruct", "submit"),
    ("POST", "/api/v1/jobs/x/cancel", "submit"),
    ("DELETE", "/api/v1/jobs/x", "submit"),
    ("GET", "/api/v1/workers", "admin"),
]


@pytest.mark.parametrize(("method", "path", "scope"), NEEDED)
def test_a_key_does_what_its_scopes_allow(site: Site, method: str, path: str, scope: Scope) -> None:
    for had in SCOPES:
        answer = site.client([had]).open(path, method=method, json={} if method == "POST" else None)
        if had == scope:
            assert answer.status_code not in (401, 403)
        else:
            body = assert_problem(answer, 403, "scope_missing")
            assert f"`{scope}`" in body["detail"]


@pytest.mark.usefixtures("at_once")
def test_a_key_that_was_taken_back_or_has_ended_is_wrong(site: Site, visitor: FlaskClient) -> None:
    for end in ({"revoked_at": datetime.now(UTC)}, {"expires_at": datetime.now(UTC)}):
        made, _ = site.store.create_key("shop", ["read"], lifetime=timedelta(hours=1))
        assert status(visitor, made.text) == 200
        change(site, made.id, **end)
        assert status(visitor, made.text) == 401


def test_a_key_that_was_remembered_ends_on_time(site: Site, visitor: FlaskClient) -> None:
    made, _ = site.store.create_key("shop", ["read"], lifetime=timedelta(seconds=-1))
    assert status(visitor, made.text) == 401
    assert status(visitor, made.text[:-1] + ("a" if made.text[-1] != "a" else "b")) == 401


def test_a_busy_key_is_looked_up_now_and_then(
    site: Site, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = site.store.create_key("shop", ["read"])
    asked = []
    find = site.store.find_key
    monkeypatch.setattr(site.store, "find_key", lambda key_id: asked.append(key_id) or find(key_id))
    assert {status(visitor, made.text) for _ in range(20)} == {200}
    assert len(asked) < 5


@pytest.mark.usefixtures("at_once")
def test_the_last_use_of_a_key_is_noted_and_may_fail(
    site: Site, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = site.store.create_key("shop", ["read"])

    def fail(_key: object) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(site.store, "note_use", fail)
        assert status(visitor, made.text) == 200
    assert status(visitor, made.text) == 200
    (kept,) = site.store.api_keys("shop")
    assert kept.last_used_at is not None
    assert status(visitor, made.text) == 200
    assert site.store.api_keys("shop") == (kept,), "written once a minute"


def test_who_guesses_is_locked_out_and_nobody_else(make_site: MakeSite) -> None:
    site = make_site(wrong_keys_per_minute=5)
    made, _ = site.store.create_key("shop", ["read"])
    visitor = site.visitor()
    assert [status(visitor, f"guess {number}") for number in range(8)] == [401] * 5 + [429] * 3
    answer = visitor.get(
        "/api/v1/jobs", headers={"X-API-Key": "guess"}, environ_overrides={"REMOTE_ADDR": "203.0.113.7"}
    )
    assert_problem(answer, 429, "too_many_wrong_keys")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert status(visitor, KEY) == 429, "the chosen key could be guessed"
    assert status(visitor, made.text) == 200, "that of the database cannot"
    assert status(visitor, made.text[:-4] + "aaaa") == 429
    assert status(visitor, KEY, "203.0.113.8") == 200
    assert status(visitor, KEY) == 200, "and is known now"
    assert status(visitor, "guess", "203.0.113.9") == 401


def test_a_request_without_a_key_is_no_guess(make_site: MakeSite) -> None:
    visitor = make_site(wrong_keys_per_minute=2).visitor()
    assert {visitor.get("/api/v1/jobs").status_code for _ in range(6)} == {401}


def test_readiness_tells_those_who_guess_as_little(make_site: MakeSite) -> None:
    visitor = make_site(wrong_keys_per_minute=2).visitor()
    answers = {visitor.get("/readyz", headers={"X-API-Key": f"guess {number}"}).status_code for number in range(5)}
    assert answers == {503}, "there are no workers"
    assert status(visitor, "guess", "127.0.0.1") == 429, "asking there is guessing, too"


def test_a_key_submits_so_often_in_a_minute(make_site: MakeSite) -> None:
    site = make_site(submissions_per_minute=3)
    for client in (site.client(["submit"]), site.client()):
        answers = [client.post("/api/v1/reconstruct", json={"image_urls": IMAGES}) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202] * 3 + [429] * 2
        assert_problem(answers[-1], 429, "too_many_submissions")
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        announced = {"files": [{"name": "1.jpg", "size": 1}]}
        begun = [client.post("/api/v1/uploads", json=announced) for _ in range(4)]
        assert [answer.status_code for answer in begun] == [201] * 3 + [429], "counted by themselves"
        assert_problem(begun[-1], 429, "too_many_submissions")


def test_the_client_behind_proxies_is_the_one_that_counts(make_site: MakeSite) -> None:
    site = make_site(wrong_keys_per_minute=1, proxy_hops=1)
    visitor = site.visitor()

    def guess(forwarded: str) -> int:
        headers = {"X-API-Key": "guess", "X-Forwarded-For": forwarded}
        return visitor.get("/api/v1/jobs", headers=headers).status_code

    assert [guess("203.0.113.1"), guess("203.0.113.1"), guess("203.0.113.2")] == [401, 429, 401]
    assert guess("198.51.100.1, 203.0.113.2") == 429, "what the client itself says does not count"


def test_the_right_key_in_a_cold_process_waits_for_the_rate_to_fall(site: Site) -> None:
    ring = Keyring("chosen", wrong_keys_per_minute=1)
    with pytest.raises(KeyRefused):
        ring.caller("x", "::1", site.store)
    with pytest.raises(TooManyWrongKeys):
        ring.caller("chosen", "::2", site.store)
    assert ring.caller("chosen", "10.0.0.1", site.store) == Caller("default", frozenset(SCOPES), "X_API_KEY")


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (None, ""),
        ("nonsense", ""),
    ],
)
def test_addresses_are_counted_by_customer(address: str | None, counted_as: str) -> None:
    assert neighbourhood(address) == counted_as
