"""Jobs that expire, through the running service: told before, gone with everything, and nothing of others with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from demo.client import Client
from meshroom_tasks.handoff.stage_logs import log_key
from meshroom_tasks.ownership import MARK
from meshroom_tasks.storage import Storage, open_storage
from tests.deployment import Deployment, deployed
from tests.waiting import eventually

SECONDS = 10.0


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A service that keeps jobs for some seconds, and looks every second."""
    folder = tmp_path_factory.mktemp("retention")
    with deployed(folder, job_expire_seconds=SECONDS, expiry_notice_seconds=SECONDS, tidy_seconds=1.0) as running:
        yield running


def traces(storage: Storage, deployment: Deployment, *names: str) -> list[str]:
    """Objects and workspaces that one of these names occurs in."""
    folders = (path.as_posix() for path in deployment.settings.workspace.glob("*/*"))
    return [place for place in (*storage.list(), *folders) if any(name in place for name in names)]


def test_a_job_that_expires_goes_with_all_that_only_it_has(deployment: Deployment) -> None:
    store, storage = deployment.store, open_storage(deployment.settings)
    key, _ = store.create_key("other", ["submit", "read"])
    other = Client(deployment.service.url, key.text)
    urls, forever = deployment.photo_urls(), {"expires_in": 3600}
    kept = other.submit(urls, deployment.receiver.url, **forever)
    eventually(lambda: store.job(kept).status == "completed", about=deployment.logs)
    mine = deployment.client.submit(urls, deployment.receiver.url, callback_events=["job.expiring"])
    told: dict[str, Any] = {}
    while "job.expiring" not in told:
        body = deployment.callback(mine)
        told[body.get("type", "end")] = body
    assert told["job.expiring"]["what"] == "job"

    eventually(lambda: mine not in {view.id for view in store.jobs().jobs}, about=deployment.logs)
    eventually(lambda: not traces(storage, deployment, mine), about=lambda: traces(storage, deployment, mine))
    assert store.job(kept).status == "completed"
    assert all(storage.stat(result.key) is not None for result in store.job(kept).results)
    (digest,) = {place.split("/")[1] for place in storage.list("inputs")}
    again = deployment.client.submit(urls, deployment.receiver.url, **forever)
    job = deployment.wait(again)
    assert (job["status"], job["reuse"]["cached"]) == ("completed", job["reuse"]["chunks"]), "what is shared is there"

    for token, job_id in ((deployment.service.api_key, again), (key.text, kept)):
        eventually(lambda job_id=job_id: storage.stat(log_key(job_id, "results", 0)))  # type: ignore[misc]
        url = f"{deployment.service.url}/api/v1/jobs/{job_id}"
        assert requests.delete(url, headers={"X-API-Key": token}, timeout=120).status_code == 204
    eventually(
        lambda: not traces(storage, deployment, digest, again, kept),
        about=lambda: traces(storage, deployment, digest, again, kept),
    )
    assert list(storage.list()) == [MARK]
