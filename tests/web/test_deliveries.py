from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from meshroom_tasks.jobs import tables
from tests.web.conftest import Site
from tests.web.problem import assert_problem

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def path(site: Site) -> str:
    """A failed job whose callback was refused once and given up."""
    job_id = site.submit(callback_url="https://shop.example.com/hook?token=s3cret")
    site.write(job_id, status="failed")
    with site.store.database.transaction() as connection:
        connection.execute(
            sa.insert(tables.delivery).values(
                id="msg_1",
                job_id=job_id,
                event="job.failed",
                status="failed",
                url="https://shop.example.com/hook?token=s3cret",
                body=json.dumps({"job_id": job_id, "status": "failed"}),
                endpoint="https://shop.example.com/hook?…",
                attempts=1,
                created_at=NOW,
                last_attempt_at=NOW,
            )
        )
        connection.execute(
            sa.insert(tables.delivery_attempt).values(
                delivery_id="msg_1", number=1, at=NOW, status_code=500, error=None, seconds=0.25, response_head="no"
            )
        )
    return f"/api/v1/jobs/{job_id}/deliveries"


def test_every_attempt_is_told(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    [delivery] = answer.get_json()["data"]
    assert (delivery["id"], delivery["event"], delivery["status"]) == ("msg_1", "job.failed", "failed")
    assert (delivery["created_at"], delivery["next_attempt_at"]) == ("2026-01-02T03:04:05Z", None)
    assert delivery["body"]["status"] == "failed"
    assert delivery["attempts"] == [
        {
            "number": 1,
            "at": "2026-01-02T03:04:05Z",
            "status_code": 500,
            "error": None,
            "seconds": 0.25,
            "response_head": "no",
        }
    ]
    assert "s3cret" not in answer.get_data(as_text=True)


def test_sending_again(site: Site, client: FlaskClient, path: str) -> None:
    told = len(site.announced)
    answer = client.post(f"{path}/msg_1/redeliver")
    assert answer.status_code == 202
    assert (answer.get_json()["id"], answer.get_json()["status"]) == ("msg_1", "pending")
    assert len(site.announced) == told + 1


def test_a_delivery_of_another_job(site: Site, client: FlaskClient, path: str) -> None:
    assert_problem(client.post(f"/api/v1/jobs/{site.submit()}/deliveries/msg_1/redeliver"), 404, "not_found")
    assert_problem(client.post(f"{path}/msg_2/redeliver"), 404, "not_found")


def test_a_job_without_deliveries(site: Site, client: FlaskClient) -> None:
    assert client.get(f"/api/v1/jobs/{site.submit()}/deliveries").get_json() == {"data": []}


def test_failing_endpoints_are_told_to_their_tenant_and_to_admins(site: Site, client: FlaskClient, path: str) -> None:
    (found,) = client.get("/api/v1/callbacks/failing").get_json()["data"]
    assert found == {
        "tenant": "default",
        "endpoint": "https://shop.example.com/hook?…",
        "since": "2026-01-02T03:04:05Z",
        "last_attempt_at": "2026-01-02T03:04:05Z",
        "status_code": 500,
        "error": None,
        "last_success_at": None,
        "next_attempt_at": None,
        "pending": 0,
        "failed": 1,
        "disabled": 0,
    }
    other, admin = site.client(["read"], "shop"), site.client(["read", "admin"], "operations")
    for asked in (other, admin):
        assert asked.get("/api/v1/callbacks/failing").get_json() == {"data": []}
    for query in ("tenant=default", "all_tenants=true"):
        assert_problem(other.get(f"/api/v1/callbacks/failing?{query}"), 403, "scope_missing")
        assert admin.get(f"/api/v1/callbacks/failing?{query}").get_json() == {"data": [found]}
