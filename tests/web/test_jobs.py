from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem


def get(client: FlaskClient, path: str) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    body: dict[str, Any] = answer.get_json()
    return body


def test_a_new_job(site: Site, client: FlaskClient) -> None:
    job_id = site.submit(callback_url="https://shop.example.com/hook?token=s3cret", metadata={"order": 7})
    job = get(client, f"/api/v1/jobs/{job_id}")
    assert job["id"] == job["job_id"] == job_id
    assert (job["status"], job["progress"], job["attempts"], job["image_count"]) == ("queued", 0.0, 1, len(IMAGES))
    assert (job["error"], job["results"], job["warnings"], job["finished_at"]) == (None, [], [], None)
    assert datetime.fromisoformat(job["created_at"]).tzinfo is not None
    assert job["created_at"].endswith("Z")
    assert [stage["name"] for stage in job["stages"]] == ["ingest", "plan", "results"]
    assert job["metadata"] == {"order": 7}
    assert "s3cret" not in str(job)
    assert job["callback_url"].startswith("https://shop.example.com/hook")


def test_links_lead_somewhere(site: Site, client: FlaskClient) -> None:
    links = get(client, f"/api/v1/jobs/{site.submit()}")["links"]
    assert client.get(links["self"]).status_code == 200
    assert client.get(links["deliveries"]).status_code == 200
    assert_problem(client.get(links["logs"].replace("{stage}", "ingest")), 404, "not_found")
    assert client.post(links["cancel"]).status_code == 200
    assert client.post(links["requeue"]).status_code == 200


def test_a_failed_job_says_why(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    error = {
        "code": "photos_do_not_overlap",
        "message": "Take more photos.",
        "stage": "StructureFromMotion_1",
        "chunk": 0,
        "worker": "w1",
        "log_tail": ["one", "two"],
        "context": {"index": 3},
    }
    site.write(job_id, status="failed", error=error)
    assert get(client, f"/api/v1/jobs/{job_id}")["error"] == error


def test_an_unchanged_job_is_not_sent_again(site: Site, client: FlaskClient) -> None:
    path = f"/api/v1/jobs/{site.submit()}"
    etag = client.get(path).headers["ETag"]
    unchanged = client.get(path, headers={"If-None-Match": etag})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    client.post(f"{path}/cancel")
    changed = client.get(path, headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag


@pytest.mark.parametrize("job_id", ["nonesuch", "x" * 64, "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"])
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("POST", "/requeue"),
        ("GET", "/logs/ingest"),
        ("GET", "/results/texturedMesh.obj"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/msg_1/redeliver"),
    ],
)
def test_what_is_not_there(client: FlaskClient, method: str, job_id: str, rest: str) -> None:
    assert_problem(client.open(f"/api/v1/jobs/{job_id}{rest}", method=method), 404, "not_found")


@pytest.mark.parametrize("job_id", ["a%00b", "a'b", "..", "%2e%2e", "a%2fb", "x" * 65, "é"])
def test_ids_of_another_shape_are_not_looked_up(
    site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, job_id: str
) -> None:
    def fail(job_id: str) -> None:
        raise AssertionError("the store was asked")

    monkeypatch.setattr(site.store, "job", fail)
    assert client.get(f"/api/v1/jobs/{job_id}").status_code in (404, 405)


def test_the_list_goes_page_by_page_newest_first(site: Site, client: FlaskClient) -> None:
    ids = [site.submit() for _ in range(5)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = get(client, "/api/v1/jobs?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        assert set(page) == {"data", "next_cursor"}
        seen += [job["id"] for job in page["data"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert seen == ids[::-1]
    assert pages == 3


def test_the_list_can_be_narrowed(site: Site, client: FlaskClient) -> None:
    first, second = site.submit(), site.submit()
    client.post(f"/api/v1/jobs/{first}/cancel")
    assert [job["id"] for job in get(client, "/api/v1/jobs?status=cancelled")["data"]] == [first]
    assert [job["id"] for job in get(client, "/api/v1/jobs?status=queued")["data"]] == [second]
    for hours, count in ((-1, 2), (1, 0)):
        moment = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert len(get(client, f"/api/v1/jobs?created_after={moment}")["data"]) == count


def test_an_empty_list(client: FlaskClient) -> None:
    assert get(client, "/api/v1/jobs") == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["/limit"]),
        ("limit=101", ["/limit"]),
        ("limit=two", ["/limit"]),
        ("limit=", ["/limit"]),
        ("status=done", ["/status"]),
        ("created_after=yesterday", ["/created_after"]),
        ("created_after=2026-01-01T00:00:00", ["/created_after"]),
        ("status=done&limit=0", ["/limit", "/status"]),
        ("cursor=nonsense", ["/cursor"]),
        ("cursor=%00", ["/cursor"]),
        ("cursor=", ["/cursor"]),
    ],
)
def test_bad_parameters_of_the_list(client: FlaskClient, query: str, pointers: list[str]) -> None:
    body = assert_problem(client.get(f"/api/v1/jobs?{query}"), 422, "request_refused", *pointers)
    assert {error["in"] for error in body["errors"]} == {"query"}


def test_cancel_requeue_and_delete(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    path = f"/api/v1/jobs/{job_id}"
    assert_problem(client.delete(path), 409, "conflict")
    assert_problem(client.post(f"{path}/requeue", json={}), 409, "conflict")
    assert client.post(f"{path}/cancel").get_json()["status"] == "cancelled"
    assert_problem(client.post(f"{path}/cancel"), 409, "conflict")
    again = client.post(f"{path}/requeue", json={"from_stage": "ingest"}).get_json()
    assert (again["status"], again["attempts"]) == ("queued", 2)
    assert len(site.announced) == 3
    client.post(f"{path}/cancel")
    gone = client.delete(path)
    assert (gone.status_code, gone.data) == (204, b"")
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"from_stage": "Nonesuch"}, "/from_stage"),
        ({"from_stage": 5}, "/from_stage"),
        ({"from_stagee": "Meshing"}, "/from_stagee"),
        ([], ""),
    ],
)
def test_bad_requeues(site: Site, client: FlaskClient, body: Any, pointer: str) -> None:
    path = f"/api/v1/jobs/{site.submit()}"
    client.post(f"{path}/cancel")
    assert_problem(client.post(f"{path}/requeue", json=body), 422, "request_refused", pointer)


def test_deleting_takes_files_along_and_leaves_those_of_others(site: Site, client: FlaskClient) -> None:
    mine, other = site.submit(), site.submit()
    site.finish(mine, {"preview.png": b"mine"})
    site.finish(other, {"preview.png": b"other"})
    site.storage.put_bytes(f"jobs/{mine}/logs/Meshing_1/0.log", b"log")
    assert client.delete(f"/api/v1/jobs/{mine}").status_code == 204
    assert list(site.storage.list(f"results/{mine}")) == []
    assert list(site.storage.list(f"jobs/{mine}")) == []
    assert client.get(f"/results/{other}/preview.png").data == b"other"
