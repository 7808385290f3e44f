"""Endpoints that do not receive, as those who run the service, or their owner, ask for them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from meshroom_tasks.jobs.endpoints import FailingEndpoint
from meshroom_tasks.jobs.records import AttemptView, DeliveryStatus
from meshroom_tasks.jobs.store import JobStore

from .conftest import Clock, new_job

HOOK = "https://shop.example.com/hook"


def told(store: JobStore, tenant: str = "default", url: str = HOOK) -> str:
    """A job that has ended, and whose delivery waits for its first attempt."""
    store.add_tenant(tenant)
    job_id = store.submit(new_job(tenant=tenant, callback_url=url))
    store.cancel(job_id)
    (view,) = store.deliveries(job_id)
    return view.id


def attempt(
    store: JobStore, clock: Clock, delivery_id: str, code: int | None, status: DeliveryStatus = "pending"
) -> None:
    clock.advance(1)
    due = store.claim_delivery(delivery_id)
    assert due is not None
    error = None if status == "succeeded" else f"the receiver answered {code}"
    later = clock() + timedelta(seconds=1) if status == "pending" else None
    assert store.record_attempt(due, AttemptView(due.attempt, clock(), code, error, 0.1, ""), status, later)


def failing(store: JobStore, tenant: str | None = None) -> list[str]:
    return [f"{found.tenant} {found.endpoint}" for found in store.failing_endpoints(tenant=tenant)]


def test_an_endpoint_fails_from_its_first_lost_attempt_until_it_receives(store: JobStore, clock: Clock) -> None:
    first = told(store)
    assert failing(store) == [], "nothing was tried"
    attempt(store, clock, first, 503)
    since = clock()
    attempt(store, clock, first, 429)
    second = told(store, url=f"{HOOK}?order=7")
    attempt(store, clock, second, None, "failed")
    with_query, without = store.failing_endpoints()
    assert without == FailingEndpoint(
        tenant="default",
        endpoint=HOOK,
        since=since,
        last_attempt_at=since + timedelta(seconds=1),
        status_code=429,
        error="the receiver answered 429",
        last_success_at=None,
        next_attempt_at=clock(),
        pending=1,
        failed=0,
        disabled=0,
    )
    assert (with_query.endpoint, with_query.since, with_query.next_attempt_at) == (f"{HOOK}?…", clock(), None)
    assert (with_query.status_code, with_query.pending, with_query.failed) == (None, 0, 1)
    attempt(store, clock, first, 204, "succeeded")
    assert failing(store) == [f"default {HOOK}?…"]
    received = clock()
    third = told(store)
    attempt(store, clock, third, 410, "disabled")
    (found, _) = store.failing_endpoints()
    assert (found.endpoint, found.since, found.last_success_at, found.disabled) == (HOOK, clock(), received, 1)


def test_a_redelivery_does_not_hide_it_until_it_is_received(store: JobStore, clock: Clock) -> None:
    delivery_id = told(store)
    attempt(store, clock, delivery_id, 500, "failed")
    store.redeliver(store.job_of_delivery(delivery_id), delivery_id)
    assert failing(store) == [f"default {HOOK}"]
    attempt(store, clock, delivery_id, 200, "succeeded")
    assert failing(store) == []


def test_it_is_its_tenants(store: JobStore, clock: Clock) -> None:
    for tenant in ("a", "b"):
        attempt(store, clock, told(store, tenant), 500)
    attempt(store, clock, told(store, "b"), 200, "succeeded")
    assert failing(store) == [f"a {HOOK}"], "another tenant's success at the same place says nothing of it"
    assert failing(store, "a") == [f"a {HOOK}"]
    assert failing(store, "b") == []


@pytest.mark.parametrize("by", ["statuses", "endpoint", "tenant", "job_id"])
def test_deliveries_are_found(store: JobStore, clock: Clock, by: str) -> None:
    wanted, _ = told(store, "a", f"{HOOK}/a"), told(store, "b", f"{HOOK}/b")
    attempt(store, clock, wanted, 500, "failed")
    choices = {
        "statuses": ("failed",),
        "endpoint": f"{HOOK}/a",
        "tenant": "a",
        "job_id": store.job_of_delivery(wanted),
    }
    assert len(store.find_deliveries()) == 2
    (found,) = store.find_deliveries(**{by: choices[by]})  # type: ignore[arg-type]
    assert found.id == wanted
    assert len(store.find_deliveries(limit=1)) == 1
