"""How long jobs, results and uploads are kept, as clients ask for it and see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem

DAY = 86_400


def seconds_until(moment: str) -> float:
    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


def ended(site: Site, **more: object) -> str:
    job_id = site.submit(**more)
    site.store.cancel(job_id)
    return job_id


def test_a_job_says_until_when_it_is_kept(site: Site, client: FlaskClient) -> None:
    path = f"/api/v1/jobs/{ended(site)}"
    job = client.get(path).get_json()
    assert (job["expires_in"], job["expires_at"], job["results_expire_at"]) == (None, None, None)
    assert job["links"]["extend"] == f"{path}/extend"
    live = client.get(f"/api/v1/jobs/{site.submit(expires_in=3600)}").get_json()
    assert (live["expires_in"], live["expires_at"]) == (3600, None)
    expiring = client.get(f"/api/v1/jobs/{ended(site, expires_in=3600)}").get_json()
    assert 3000 < seconds_until(expiring["expires_at"]) <= 3600


def test_the_settings_say_it_where_the_request_does_not(make_site: Callable[..., Site]) -> None:
    site = make_site(job_expire_seconds=7 * DAY)
    client = site.client()
    for more, days in (({}, 7), ({"expires_in": 2 * DAY}, 2)):
        job = client.get(f"/api/v1/jobs/{ended(site, **more)}").get_json()
        assert (days - 1) * DAY < seconds_until(job["expires_at"]) <= days * DAY


def test_a_job_is_kept_longer(site: Site, client: FlaskClient) -> None:
    path = f"/api/v1/jobs/{ended(site, expires_in=3600)}"
    for _ in range(2):
        job = client.post(f"{path}/extend", json={"expires_in": DAY}).get_json()
        assert DAY - 600 < seconds_until(job["expires_at"]) <= DAY
    shorter = client.post(f"{path}/extend", json={"expires_in": 60}).get_json()
    assert seconds_until(shorter["expires_at"]) > DAY - 600
    assert_problem(client.post(f"/api/v1/jobs/{site.submit()}/extend", json={"expires_in": DAY}), 409, "conflict")


@pytest.mark.parametrize("span", [0, 59, -1, "3600", None, 1e12])
def test_spans_that_make_no_sense(site: Site, client: FlaskClient, span: object) -> None:
    answer = client.post(f"/api/v1/jobs/{ended(site)}/extend", json={"expires_in": span})
    assert_problem(answer, 422, "request_refused", "/expires_in")


def test_no_longer_than_the_service_allows(make_site: Callable[..., Site]) -> None:
    site = make_site(job_expire_max_seconds=30 * DAY)
    client = site.client()
    body = {"image_urls": IMAGES, "expires_in": 31 * DAY}
    assert_problem(client.post("/api/v1/reconstruct", json=body), 422, "request_refused", "/expires_in")
    path = f"/api/v1/jobs/{ended(site, expires_in=30 * DAY)}/extend"
    assert_problem(client.post(path, json={"expires_in": 31 * DAY}), 422, "request_refused", "/expires_in")
    assert client.post(path, json={"expires_in": 30 * DAY}).status_code == 200


def test_an_event_needs_an_address(client: FlaskClient) -> None:
    body = {"image_urls": IMAGES, "callback_events": ["job.expiring"]}
    assert_problem(client.post("/api/v1/reconstruct", json=body), 422, "request_refused", "/callback_events")
    body["callback_events"] = ["job.exploded"]
    assert_problem(client.post("/api/v1/reconstruct", json=body), 422, "request_refused", "/callback_events/0")


def test_results_that_have_expired_say_so(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    site.finish(job_id, {"texturedMesh.obj": b"o"})
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    site.write(job_id, results_bytes=1, results_expire_at=hour_ago, expiry_told=hour_ago)
    assert site.store.give_up_results(job_id)
    for path in (f"/results/{job_id}/texturedMesh.obj", f"/results/{job_id}/all.zip"):
        problem = assert_problem(client.get(path), 404, "not_found")
        assert problem["detail"] == "its results have expired; requeue the job from `results`"


def test_an_upload_is_kept_longer(client: FlaskClient) -> None:
    upload = client.post("/api/v1/uploads", json={"files": [{"name": "1.jpg", "size": 1}]}).get_json()
    path = f"/api/v1/uploads/{upload['upload_id']}"
    longer = client.post(f"{path}/extend", json={"expires_in": 3 * DAY}).get_json()
    assert 3 * DAY - 600 < seconds_until(longer["expires_at"]) <= 3 * DAY
    assert client.get(path).get_json()["expires_at"] == longer["expires_at"]
    refused = client.post(f"{path}/extend", json={"expires_in": 8 * DAY})
    assert_problem(refused, 422, "request_refused", "/expires_in")
