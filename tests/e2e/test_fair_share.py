"""A tenant that queues very much does not keep another waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo.client import Client
from tests.deployment import Deployment, deployed
from tests.jobs.crowds import crowd
from tests.waiting import LONG, eventually

MANY = 1000


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("fair-share")) as running:
        yield running


def test_one_job_beside_a_thousand_that_were_there_before(deployment: Deployment) -> None:
    """While the test engine is held back, tenant A queues a thousand jobs; then B comes with one."""
    store = deployment.store
    deployment.script({"stages": [{"until": str(deployment.gate)}]})
    clients = {}
    for tenant in ("a", "b"):
        key, _ = store.create_key(tenant, ["submit", "read"])
        clients[tenant] = Client(deployment.service.url, key.text)
    for seed in range(2):
        clients["a"].submit(deployment.photo_urls(4, seed), deployment.receiver.url)
    deployment.computing("CameraInit", 2)
    crowd(store, clients["a"].submit(deployment.photo_urls(4, 2), deployment.receiver.url), MANY - 3)
    mine = clients["b"].submit(deployment.photo_urls(4, 99), deployment.receiver.url)
    deployment.open_gate()

    def done() -> bool:
        deployment.service.keep_alive()
        return store.job(mine).finished_at is not None

    eventually(done, 2 * LONG, about=deployment.logs)
    job = store.job(mine)
    assert job.status == "completed", job.error
    (other,) = [view for view in store.tenants() if view.name == "a"]
    assert MANY - other.queued_jobs - other.running_jobs < MANY // 10, "B's job has not waited for A's to end"
    assert other.queued_jobs > MANY // 2
