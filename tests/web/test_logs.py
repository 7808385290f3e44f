from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.handoff.live_log import LiveLog
from tests.web.conftest import Site
from tests.web.problem import assert_problem

LINES = [f"line {index}\n" for index in range(100)]
TEXT = "".join(LINES)


@pytest.fixture
def path(site: Site) -> str:
    """A job whose step `plan` has a stored log for chunk 0."""
    job_id = site.submit()
    site.storage.put_bytes(f"jobs/{job_id}/logs/plan/0.log", TEXT.encode())
    return f"/api/v1/jobs/{job_id}/logs/plan"


def test_a_log(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.get_data(as_text=True)) == (200, TEXT)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(("tail", "expected"), [(1, LINES[-1:]), (5, LINES[-5:]), (1000, LINES)])
def test_its_end(client: FlaskClient, path: str, tail: int, expected: list[str]) -> None:
    assert client.get(f"{path}?tail={tail}").get_data(as_text=True) == "".join(expected)


def test_following_a_log_that_grows(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    path, behind = f"/api/v1/jobs/{job_id}/logs/ingest", {"Range": "bytes=6-"}
    log = LiveLog(site.storage, job_id, "ingest", 0)
    log.write("first")
    log.close()
    assert client.get(path).data == b"first\n"
    assert_problem(client.get(path, headers=behind), 416, "range_not_satisfiable")
    log.write("second")
    log.close()
    more = client.get(path, headers=behind)
    assert (more.status_code, more.data) == (206, b"second\n")


@pytest.mark.parametrize("stage", ["nonesuch", "..", "%2e%2e", "..%2f..%2f", "plan%00"])
def test_stages_that_the_job_has_not(client: FlaskClient, path: str, stage: str) -> None:
    assert client.get(path.replace("/plan", f"/{stage}")).status_code == 404


def test_chunks_without_a_log(client: FlaskClient, path: str) -> None:
    assert_problem(client.get(f"{path}?chunk=1"), 404, "not_found")


@pytest.mark.parametrize("query", ["chunk=-1", "chunk=x", "tail=0", "tail=10001"])
def test_bad_parameters(client: FlaskClient, path: str, query: str) -> None:
    assert_problem(client.get(f"{path}?{query}"), 422, "request_refused", f"/{query.split('=')[0]}")
