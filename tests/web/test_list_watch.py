"""The stream by which a page of jobs learns that it has changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.errors import DatabaseUnavailable
from meshroom_tasks.jobs.glances import Glance
from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem
from tests.web.test_events import parse
from web.list_watch import TELL_SECONDS, ListWatch
from web.services import MOST_WATCHERS_OF_ONE

QUIET, BUSY = Glance("a", is_live=False), Glance("a", is_live=True)
OTHER = Glance("b", is_live=False)


@pytest.mark.parametrize(
    ("seen", "looks", "told"),
    [
        ("a", [(0, QUIET)], ["same"]),
        ("", [(0, QUIET)], ["changed"]),
        ("b", [(0, QUIET)], ["changed"]),
        ("a", [(0, BUSY)], ["same"]),
        ("a", [(0, QUIET), (1, QUIET), (2, OTHER), (3, OTHER)], ["same", "", "changed", ""]),
        ("a", [(0, QUIET), (TELL_SECONDS, QUIET), (TELL_SECONDS + 1, QUIET)], ["same", "same", ""]),
        ("a", [(0, BUSY), (TELL_SECONDS, BUSY), (TELL_SECONDS + 1, BUSY)], ["same", "changed", ""]),
        ("a", [(0, QUIET), (5, OTHER), (TELL_SECONDS, OTHER), (5 + TELL_SECONDS, OTHER)],
         ["same", "changed", "", "same"]),
    ],
)  # fmt: skip
def test_what_is_told_when(seen: str, looks: list[tuple[float, Glance]], told: list[str]) -> None:
    glances, clock = iter([glance for _, glance in looks]), iter([at for at, _ in looks])
    watch = ListWatch(lambda: next(glances), seen, clock=lambda: next(clock))
    found = [watch.poll() for _ in looks]
    assert [events[0].name if events else "" for events in found] == told
    assert {event.id for events in found for event in events} <= {"a", "b"}


def stream_of(client: FlaskClient, page: str = "/") -> str:
    """Where the page says that it is told."""
    found = re.search(r'data-stream="([^"]+)"', client.get(page).get_data(as_text=True))
    assert found is not None
    return found[1].replace("&amp;", "&")


def events(client: FlaskClient, path: str, **headers: str) -> Iterator[str]:
    """The names of the events, as they come."""
    answer = client.get(path, buffered=False, headers=headers)
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    for chunk in answer.iter_encoded():
        yield from (name for name, _ in parse(chunk))


def test_jobs_that_come_go_on_and_go_are_told(site: Site, client: FlaskClient) -> None:
    told = events(client, stream_of(client))
    assert next(told) == "same"
    job_id = site.submit()
    assert next(told) == "changed"
    site.store.cancel(job_id)
    assert next(told) == "changed"
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert next(told) == "changed"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is told every two seconds."""
    monkeypatch.setattr("web.list_watch.TELL_SECONDS", 2.0)


@pytest.mark.usefixtures("soon")
def test_another_tenants_jobs_are_never_told(site: Site, client: FlaskClient) -> None:
    site.store.add_tenant("other")
    told = events(client, stream_of(client))
    assert next(told) == "same"
    other = site.client(["submit", "read"], tenant="other")
    assert other.post("/api/v1/reconstruct", json={"image_urls": IMAGES}).status_code == 202
    assert next(told) == "same"


@pytest.mark.usefixtures("soon")
def test_the_filter_of_the_page_holds(site: Site, client: FlaskClient) -> None:
    path = stream_of(client, "/?status=completed")
    assert "status=completed" in path
    told = events(client, path)
    assert next(told) == "same"
    site.submit()
    assert next(told) == "same"


def test_who_comes_back_is_told_what_was_missed(site: Site, client: FlaskClient) -> None:
    path = stream_of(client)
    mark = path.rpartition("seen=")[2]
    site.submit()
    assert next(events(client, path)) == "changed"
    assert next(events(client, stream_of(client))) == "same"
    assert next(events(client, stream_of(client), **{"Last-Event-ID": mark})) == "changed"


def test_it_ends_when_the_process_drains(site: Site, client: FlaskClient) -> None:
    told = events(client, stream_of(client))
    assert next(told) == "same"
    site.parts.watching.close()
    assert list(told) == []


def test_without_a_database_it_ends_with_a_problem_and_can_be_had_again(
    site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stream_of(client)
    told = events(client, path)
    assert next(told) == "same"
    with monkeypatch.context() as lost:
        lost.setattr(type(site.store), "glance", _unavailable)
        assert list(told) == ["problem"]
        assert_problem(client.get(path), 503, "database_unavailable")
    assert next(events(client, path)) == "same"


def _unavailable(*_: object, **__: object) -> Glance:
    raise DatabaseUnavailable("the job database cannot be used right now; try again in a moment")


def test_it_needs_a_session_and_there_are_so_many(site: Site, client: FlaskClient, visitor: FlaskClient) -> None:
    assert_problem(visitor.get("/jobs/events"), 401, "unauthorized")
    path = stream_of(client)
    open_ones = [client.get(path, buffered=False) for _ in range(MOST_WATCHERS_OF_ONE)]
    assert_problem(client.get(path), 503, "too_many_streams")
    open_ones[0].close()
    again = client.get(path, buffered=False)
    assert again.status_code == 200
    for one in [again, *open_ones[1:]]:
        one.close()
