"""The same request sent twice under one key is one job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem


def send(client: FlaskClient, key: str | None, **more: object) -> TestResponse:
    headers = {"Idempotency-Key": key} if key is not None else {}
    return client.post("/api/v1/reconstruct", json={"image_urls": IMAGES, **more}, headers=headers)


def test_a_repeated_request_gets_the_answer_of_the_first(site: Site, client: FlaskClient) -> None:
    first, second = send(client, "order-1"), send(client, "order-1")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.get_json() == second.get_json()
    assert first.headers["Location"] == second.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(site.store.jobs().jobs) == 1


def test_other_keys_and_no_keys_are_other_jobs(site: Site, client: FlaskClient) -> None:
    ids = {send(client, key).get_json()["job_id"] for key in ("a", "b", None, None)}
    assert len(ids) == 4


def test_a_key_names_one_request_only(site: Site, client: FlaskClient) -> None:
    send(client, "order-1", priority=3)
    assert_problem(send(client, "order-1", priority=4), 422, "idempotency_key_reused")
    assert send(client, "order-1", priority=3, outputs=["obj", "glb"]).status_code == 202, "defaults count as sent"
    assert len(site.store.jobs().jobs) == 1


def test_a_refused_request_leaves_its_key_free(site: Site, client: FlaskClient) -> None:
    assert send(client, "order-1", pipeline="nonesuch").status_code == 422
    answer = send(client, "order-1")
    assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (202, False)


def test_a_deleted_job_is_not_made_again(site: Site, client: FlaskClient) -> None:
    job_id = send(client, "order-1").get_json()["job_id"]
    assert client.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert send(client, "order-1").get_json()["job_id"] == job_id
    assert site.store.jobs().jobs == ()


def test_keys_are_forgotten_in_time(site: Site, client: FlaskClient) -> None:
    first = send(client, "order-1").get_json()["job_id"]
    assert site.store.forget_submissions(timedelta(hours=1)) == 0
    assert site.store.forget_submissions(timedelta(0)) == 1
    assert send(client, "order-1").get_json()["job_id"] != first


@pytest.mark.parametrize("key", ["", "two words", "ümlaut", "x" * 256])
def test_an_unusable_key_is_refused(site: Site, client: FlaskClient, key: str) -> None:
    assert_problem(send(client, key), 422, "request_refused", "")
    assert site.store.jobs().jobs == ()


def test_a_storm_of_one_request_is_one_job(site: Site) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: send(site.client(), "order-1"), range(40)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_json()["job_id"] for answer in answers}) == 1
    assert len(site.store.jobs().jobs) == 1
