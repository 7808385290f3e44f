"""What belongs to one tenant does not exist for another, whatever route it is asked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from meshroom_tasks.handoff.stage_logs import log_key
from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.records import Photo
from tests.jobs.conftest import GRAPH, claim_kind, run_to_plan
from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem
from web.auth import OPEN_ENDPOINTS

READ_AND_SUBMIT = ("read", "submit")
BODIES = {
    "requeue_job": {"from_stage": "ingest"},
    "extend_job": {"expires_in": 3600},
    "extend_upload": {"expires_in": 3600},
}


@dataclass
class Mine:
    """A job of tenant `a` with everything that a job can have, an upload, and a client of `a` and of `b` each."""

    site: Site
    job_id: str
    delivery_id: str
    upload_id: str
    a: FlaskClient
    b: FlaskClient

    def rows(self) -> list[object]:
        with self.site.store.database.snapshot() as connection:
            found = (tables.job, tables.step, tables.delivery, tables.outbox, tables.upload)
            return [connection.execute(sa.select(table)).all() for table in found]


@pytest.fixture
def mine(site: Site) -> Mine:
    a, b = (site.client(READ_AND_SUBMIT, tenant) for tenant in ("a", "b"))
    body = {"image_urls": IMAGES, "callback_url": "https://shop.example.com/hook"}
    job_id = a.post("/api/v1/reconstruct", json=body).get_json()["job_id"]
    assert a.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 200
    site.finish(job_id, {"texturedMesh.obj": b"o"})
    photo = Photo(0, "0000_1a2b3c4d.jpg", "1a2b3c4d" * 8, 5, 64, 48, "image/jpeg")
    site.write(job_id, photos=[asdict(photo)], photos_digest="d")
    site.storage.put_bytes(log_key(job_id, "ingest", 0), b"a line\n")
    (delivery,) = site.store.deliveries(job_id)
    upload = a.post("/api/v1/uploads", json={"files": [{"name": "1.jpg", "size": 1}]}).get_json()
    return Mine(site, job_id, delivery.id, upload["upload_id"], a, b)


def routes_with_ids(site: Site) -> Iterator[tuple[str, Rule]]:
    """Every method and route that names something, but those that are open on purpose."""
    for rule in site.app.url_map.iter_rules():
        if rule.arguments and rule.endpoint not in OPEN_ENDPOINTS:
            for method in (rule.methods or set()) - {"OPTIONS"}:
                yield method, rule


def ask(mine: Mine, client: FlaskClient, method: str, rule: Rule, job_id: str) -> TestResponse:
    values = {"job_id": job_id, "delivery_id": mine.delivery_id, "name": "texturedMesh.obj", "stage": "ingest"}
    values |= {"upload_id": mine.upload_id if job_id == mine.job_id else "0" * 32, "number": "0"}
    assert rule.arguments <= set(values), f"say here what {rule.rule} names, of tenant a"
    adapter = mine.site.app.url_map.bind("localhost")
    path = adapter.build(rule.endpoint, {name: values[name] for name in rule.arguments}, method=method)
    body = BODIES.get(rule.endpoint.partition(".")[2])
    return client.open(path, method=method, json=body)


def told(answer: TestResponse) -> object:
    """What an answer says, but for the request's own id."""
    return {**json.loads(answer.data), "request_id": ""} if "json" in answer.mimetype else answer.data


def test_every_route_with_an_id_hides_what_another_tenant_has(mine: Mine) -> None:
    before, tried = mine.rows(), 0
    for method, rule in routes_with_ids(mine.site):
        foreign = ask(mine, mine.b, method, rule, mine.job_id)
        unknown = ask(mine, mine.b, method, rule, "00000000-0000-4000-8000-000000000000")
        assert (foreign.status_code, unknown.status_code) == (404, 404), (method, rule.rule)
        if method != "HEAD":
            assert told(foreign) == told(unknown), rule.rule
        tried += 1
    assert tried > 12
    assert mine.rows() == before, "nothing was changed"


def test_the_owner_finds_all_of_it(mine: Mine) -> None:
    for method, rule in routes_with_ids(mine.site):
        if method == "GET":
            answer = ask(mine, mine.a, method, rule, mine.job_id)
            assert answer.status_code == 200, rule.rule
            answer.close()


def test_nobody_takes_the_photos_of_another(mine: Mine) -> None:
    for url in (f"upload://{mine.upload_id}", f"upload://{mine.upload_id}/1.jpg"):
        answer = mine.b.post("/api/v1/reconstruct", json={"image_urls": [*IMAGES, url]})
        assert_problem(answer, 422, "upload_unknown", "/image_urls/3")
        own = mine.a.post("/api/v1/reconstruct", json={"image_urls": [*IMAGES, url]})
        assert_problem(own, 422, "upload_incomplete", "/image_urls/3")


def test_what_is_open_needs_the_id_and_no_key(mine: Mine) -> None:
    for path in ("texturedMesh.obj", "all.zip"):
        answer = mine.site.visitor().get(f"/results/{mine.job_id}/{path}")
        assert answer.status_code == 200
        answer.close()


def test_lists_and_cursors_show_only_what_is_ones_own(mine: Mine) -> None:
    site = mine.site
    for number in range(6):
        client = (mine.a, mine.b)[number % 2]
        assert client.post("/api/v1/reconstruct", json={"image_urls": IMAGES}).status_code == 202
    pages = {}
    for name, client in (("a", mine.a), ("b", mine.b)):
        first = client.get("/api/v1/jobs?limit=2").get_json()
        assert {job["tenant"] for job in first["data"]} == {name}
        pages[name] = first["next_cursor"]
    for name, client, other in (("a", mine.a, "b"), ("b", mine.b, "a")):
        page = client.get(f"/api/v1/jobs?cursor={pages[other]}").get_json()
        assert {job["tenant"] for job in page["data"]} == {name}, "a foreign cursor is a moment, no more"
    assert len(site.store.jobs().jobs) == 7


def test_idempotency_keys_are_ones_own(mine: Mine) -> None:
    headers = {"Idempotency-Key": "order-1"}

    def send(client: FlaskClient, **more: object) -> TestResponse:
        return client.post("/api/v1/reconstruct", json={"image_urls": IMAGES, **more}, headers=headers)

    first, other = send(mine.a), send(mine.b, priority=9)
    assert (first.status_code, other.status_code) == (202, 202)
    assert "Idempotency-Replayed" not in other.headers
    assert first.get_json()["job_id"] != other.get_json()["job_id"]
    assert send(mine.b, priority=9).get_json() == other.get_json()


def test_jobs_across_tenants_are_for_admins(mine: Mine) -> None:
    admin = mine.site.client(["read", "admin"], "operations")
    found = admin.get("/api/v1/jobs?tenant=a").get_json()["data"]
    assert [job["id"] for job in found] == [mine.job_id]
    assert admin.get("/api/v1/jobs").get_json()["data"] == []
    assert admin.get(f"/api/v1/jobs/{mine.job_id}").status_code == 404
    assert_problem(mine.b.get("/api/v1/jobs?tenant=a"), 403, "scope_missing")
    assert mine.a.get("/api/v1/jobs?tenant=a").status_code == 200
    assert_problem(admin.get("/api/v1/jobs?tenant=A"), 422, "request_refused", "/tenant")


def test_who_computes_the_same_is_not_named(site: Site) -> None:
    """The id of a job opens its results."""
    site.store.add_tenant("other")
    first = run_to_plan(site.store, GRAPH[:1])
    own = run_to_plan(site.store, GRAPH[:1])
    foreign = run_to_plan(site.store, GRAPH[:1], tenant="other")
    assert claim_kind(site.store, "chunk") is not None
    waiting = {job: site.store.job(job).stages[2].chunks[0].waiting for job in (own, foreign)}
    assert waiting == {
        own: f"waiting for job {first}, which computes the same",
        foreign: "waiting for another job, which computes the same",
    }


def test_limits_are_answered_with_codes_that_name_them(site: Site) -> None:
    client = site.client(READ_AND_SUBMIT, "shop")

    def send() -> TestResponse:
        return client.post("/api/v1/reconstruct", json={"image_urls": IMAGES})

    site.store.change_tenant("shop", {"max_queued_jobs": 1, "max_images": 3})
    first = send()
    assert first.status_code == 202
    refused = send()
    assert_problem(refused, 429, "queued_jobs_limit")
    assert int(refused.headers["Retry-After"]) > 0
    site.store.change_tenant("shop", {"max_images": 2})
    assert_problem(send(), 422, "images_limit")
    site.write(first.get_json()["job_id"], results_bytes=10)
    site.store.change_tenant("shop", {"max_images": None, "max_storage_bytes": 10})
    assert_problem(send(), 422, "storage_limit")
    assert site.client().post("/api/v1/reconstruct", json={"image_urls": IMAGES}).status_code == 202
