"""Clients that send again whatever was not answered, while the web app is killed under them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.store import open_store
from tests.waiting import LONG, eventually
from tests.web.conftest import IMAGES
from tests.web.serving import HEADERS, Server, serving

JOBS = 1000
CLIENTS = 8
KILLS = 3


def test_a_thousand_submissions_are_a_thousand_jobs_however_often_it_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, web_workers=2) as server:
        answered: list[tuple[int, str]] = []
        numbers = iter(range(JOBS))
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(client, server, numbers, answered) for _ in range(CLIENTS)]
            for kill in range(1, KILLS + 1):
                eventually(lambda: len(answered) > JOBS * kill // (KILLS + 2), about=server.log.read_text)  # noqa: B023
                server.kill()
                server.start()
            for done in clients:
                done.result()
        assert sorted(number for number, _ in answered) == list(range(JOBS))
        assert len({job_id for _, job_id in answered}) == JOBS

        store = open_store(server.settings)
        with store.database.snapshot() as connection:
            jobs = list(connection.execute(sa.select(tables.job.c.id, tables.job.c.metadata)))
            ready = connection.scalars(sa.select(tables.step.c.job_id).where(tables.step.c.state == "ready")).all()
        assert {(job.metadata["number"], job.id) for job in jobs} == set(answered)
        assert len(jobs) == JOBS
        assert Counter(ready) == Counter(job.id for job in jobs), "each waits for exactly one worker"


def client(server: Server, numbers: Iterator[int], answered: list[tuple[int, str]]) -> None:
    """Takes numbers as long as there are some, and is content with an answer only."""
    session = requests.Session()
    for number in numbers:
        deadline = time.monotonic() + 4 * LONG
        while (job_id := submit(session, server, number)) is None:
            assert time.monotonic() < deadline, server.log.read_text()[-4000:]
            time.sleep(0.05)
        answered.append((number, job_id))


def submit(session: requests.Session, server: Server, number: int) -> str | None:
    headers = {**HEADERS, "Idempotency-Key": f"number-{number}"}
    body = {"image_urls": IMAGES, "metadata": {"number": number}}
    try:
        answer = session.post(f"{server.url}/api/v1/reconstruct", json=body, headers=headers, timeout=60)
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # Killed before, or in the middle.
        return None
    if answer.status_code == 503:
        return None
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])
