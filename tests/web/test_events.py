"""Server-sent events: what is sent, when a stream ends, and that streams cannot use up the app."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.api_keys import DEFAULT_TENANT
from meshroom_tasks.handoff.live_log import LiveLog
from meshroom_tasks.jobs.records import ErrorView, JobView, StageView
from tests.jobs.conftest import delete
from tests.web.conftest import Site
from tests.web.problem import assert_problem
from web import auth
from web.event_stream import Event, Streams
from web.job_events import events_between
from web.log_events import LogFollower
from web.services import MOST_STREAMS


def parse(data: bytes) -> list[tuple[str, Any]]:
    """`(name, data)` of each event; comments and `retry` are left out."""
    events = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


@pytest.fixture
def job(site: Site) -> JobView:
    return site.store.job(site.submit())


def stage(state: str, name: str = "Meshing_1") -> StageView:
    return StageView(name, name.rpartition("_")[0], state, 0.0, False, ())  # type: ignore[arg-type]


def test_the_first_look_tells_all(job: JobView) -> None:
    events = events_between(None, replace(job, stages=(stage("ready"), stage("blocked", "Texturing_1"))))
    assert [event.name for event in events] == ["state", "stage", "stage", "progress"]
    assert events[0].data == {"job_id": job.id, "status": "queued", "attempts": 1, "error": None}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({}, {"status": "running"}, ["state"]),
        ({}, {"progress": 0.5}, ["progress"]),
        ({"seconds_left": 5.0}, {"seconds_left": 4.0}, []),
        ({"stages": (stage("ready"),)}, {"stages": (stage("running"),)}, ["stage"]),
        ({"stages": ()}, {"stages": (stage("ready"), stage("ready", "Texturing_1"))}, ["stage", "stage"]),
        ({"stages": (stage("ready"),)}, {"stages": ()}, []),
        ({"progress": 0.9}, {"status": "failed", "error": ErrorView("no_surface", "x"), "progress": 1.0},
         ["state", "progress"]),
    ],
)  # fmt: skip
def test_only_what_changed_is_told(
    job: JobView, before: dict[str, Any], after: dict[str, Any], expected: list[str]
) -> None:
    events = events_between(replace(job, **before), replace(job, **{**before, **after}))
    assert [event.name for event in events] == expected


def test_a_stream_ends_with_its_job(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    threading.Timer(1.0, lambda: site.store.cancel(job_id)).start()
    answer = client.get(f"/api/v1/jobs/{job_id}/events")
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    events = parse(answer.data)
    assert [data["status"] for name, data in events if name == "state"] == ["queued", "cancelled"]
    assert ("stage", {"name": "ingest", "node_type": "ingest", "state": "cancelled", "cached": False}) in events


def test_an_unknown_job_is_a_problem_and_no_stream(client: FlaskClient) -> None:
    assert_problem(client.get("/api/v1/jobs/nonesuch/events"), 404, "not_found")


def test_a_job_that_is_deleted_meanwhile_ends_its_stream(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    poll = client.get(f"/api/v1/jobs/{job_id}/events", buffered=False)
    chunks = poll.iter_encoded()
    next(chunks), next(chunks)
    site.store.cancel(job_id)
    delete(site.store, job_id)
    assert parse(b"".join(chunks)) == [("problem", {"code": "not_found", "detail": "there is no such job"})]


@pytest.mark.parametrize("path", ["/api/v1/jobs/{}/events", "/api/v1/jobs/{}/logs/ingest?follow=true", "/jobs/events"])
def test_a_stream_ends_with_the_key_that_opened_it(
    site: Site, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_SECONDS", 0.0)
    job_id = site.submit()
    site.storage.put_bytes(f"jobs/{job_id}/logs/ingest/0.log", b"one\n")
    made, _ = site.store.create_key(DEFAULT_TENANT, ["read"])
    chunks = visitor.get(path.format(job_id), headers={"X-API-Key": made.text}, buffered=False).iter_encoded()
    assert next(chunks).startswith(b"retry:")
    assert b"problem" not in next(chunks)
    site.store.revoke_key(made.id)
    told = parse(b"".join(chunks))
    assert [data["code"] for name, data in told if name == "problem"] == ["unauthorized"]


def test_streams_are_limited_and_given_back(site: Site) -> None:
    streams = Streams(3, 2)
    with site.app.test_request_context():
        open_ones = [streams.open(list, "shop") for _ in range(2)]
        with pytest.raises(Exception, match="too many event streams"):
            streams.open(list, "shop")
        streams.open(list, "other").close()
        open_ones[0].close()
        streams.open(list, "shop").close()
        with pytest.raises(ZeroDivisionError):
            streams.open(lambda: 1 // 0, "shop")  # type: ignore[arg-type,return-value]
        streams.open(list, "shop").close()


def test_streams_whose_clients_go_are_given_back(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    for _ in range(MOST_STREAMS + 1):
        answer = client.get(f"/api/v1/jobs/{job_id}/events")
        assert answer.status_code == 200
        answer.close()


def test_all_streams_end_when_the_process_stops(site: Site) -> None:
    streams = Streams(1, 1)
    with site.app.test_request_context():
        response = streams.open(lambda: [Event("state", {})], "shop")
        streams.close()
        assert b"".join(response.iter_encoded()).count(b"event: state") == 1


def test_a_log_is_followed_to_its_end(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    key = f"jobs/{job_id}/logs/ingest/0.log"
    site.storage.put_bytes(key, b"one\ntw")

    def go_on() -> None:
        site.storage.put_bytes(key, b"one\ntwo\nthree")
        site.store.cancel(job_id)

    threading.Timer(0.2, go_on).start()
    events = parse(client.get(f"/api/v1/jobs/{job_id}/logs/ingest?follow=true").data)
    assert [line for name, lines in events if name == "lines" for line in lines] == ["one", "two", "three"]


def test_a_log_goes_on_where_it_broke_off_and_begins_again_when_it_is_another(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    site.store.cancel(job_id)
    site.storage.put_bytes(f"jobs/{job_id}/logs/ingest/0.log", b"one\ntwo\n")
    path = f"/api/v1/jobs/{job_id}/logs/ingest?follow=true"
    assert parse(client.get(path, headers={"Last-Event-ID": "4"}).data) == [("lines", ["two"]), ("end", {})]
    assert parse(client.get(path, headers={"Last-Event-ID": "900"}).data) == [
        ("restart", {}),
        ("lines", ["one", "two"]),
        ("end", {}),
    ]
    everything = [("lines", ["one", "two"]), ("end", {})]
    assert parse(client.get(path, headers={"Last-Event-ID": "nonsense"}).data) == everything


def test_no_line_is_missed_or_told_twice_while_the_beginning_of_a_log_is_cut(site: Site) -> None:
    job_id, told = site.submit(), []
    log = LiveLog(site.storage, job_id, "ingest", 0)
    ended = threading.Event()
    follower = LogFollower(site.storage, f"jobs/{job_id}/logs/ingest/0.log", 0, ended.is_set)
    for number in range(90_000):
        log.write(f"line {number:06} {'x' * 80}")
        if number % 5_000 == 0:
            log.close()
            told += [line[:11] for event in follower.poll() or [] for line in event.data]
    log.close()
    ended.set()
    while (events := follower.poll()) is not None:
        told += [line[:11] for event in events if event.name == "lines" for line in event.data]
    assert told == [f"line {number:06}" for number in range(90_000)]


def test_who_comes_late_is_told_how_much_was_cut(site: Site, client: FlaskClient) -> None:
    job_id = site.submit()
    for attempt in range(2):
        log = LiveLog(site.storage, job_id, "ingest", 0)
        for number in range(60_000):
            log.write(f"{attempt} {number:06} {'x' * 90}")
        log.close()
    site.store.cancel(job_id)
    path = f"/api/v1/jobs/{job_id}/logs/ingest"
    stored = client.get(path).data
    first, _, kept = stored.partition(b"\n")
    assert (len(stored) < 4 << 20, len(kept) % 100) == (True, 0)
    assert first == b"[... %d bytes were cut ...]" % (12_000_000 - len(kept))
    events = parse(client.get(f"{path}?follow=true").data)
    lines = [line for name, lines in events if name == "lines" for line in lines]
    assert lines == stored.decode().splitlines()
