"""`deliveries list`, `failing`, `redeliver`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from meshroom_tasks.commands.deliveries import failing, list_deliveries, redeliver
from meshroom_tasks.jobs.records import AttemptView, DeliveryStatus
from tests.jobs.conftest import new_job

from .conftest import Refusal, Shell


def delivered(shell: Shell, url: str, code: int, status: DeliveryStatus) -> str:
    """A delivery after its first attempt."""
    job_id = shell.store.submit(new_job(callback_url=url))
    shell.store.cancel(job_id)
    (view,) = shell.store.deliveries(job_id)
    due = shell.store.claim_delivery(view.id)
    assert due is not None
    error = None if status == "succeeded" else f"the receiver answered {code}"
    shell.store.record_attempt(due, AttemptView(1, datetime.now(UTC), code, error, 0.1, ""), status, None)
    return view.id


@pytest.fixture
def three(shell: Shell) -> tuple[str, str, str]:
    return (
        delivered(shell, "https://a.example.com/hook?token=s3cret", 500, "failed"),
        delivered(shell, "https://b.example.com/hook", 410, "disabled"),
        delivered(shell, "https://c.example.com/hook", 204, "succeeded"),
    )


def test_deliveries_are_listed_without_secrets(shell: Shell, three: tuple[str, str, str]) -> None:
    assert {view["id"] for view in shell.ask(list_deliveries)} == set(three)
    assert [view["id"] for view in shell.ask(list_deliveries, "--status", "failed")] == [three[0]]
    place = "https://a.example.com/hook?token=another"
    assert [view["id"] for view in shell.ask(list_deliveries, "--endpoint", place)] == [three[0]]
    table = shell.run(list_deliveries).output
    assert "s3cret" not in table
    assert all(word in table for word in (*three, "job.failed", "500", "410", "204"))


def test_failing_endpoints_are_listed(shell: Shell, three: tuple[str, str, str]) -> None:
    assert {found["endpoint"] for found in shell.ask(failing)} == {
        "https://a.example.com/hook?…",
        "https://b.example.com/hook",
    }
    table = shell.run(failing).output
    assert "the receiver answered 410" in table
    assert "s3cret" not in table
    shell.ask(redeliver, *three[:2])
    for delivery_id in three[:2]:
        due = shell.store.claim_delivery(delivery_id)
        assert due is not None
        attempt = AttemptView(1, datetime.now(UTC), 200, None, 0.1, "")
        shell.store.record_attempt(due, attempt, "succeeded", None)
    assert "Every endpoint" in shell.run(failing).output


def test_those_that_are_named_are_sent_again(shell: Shell, three: tuple[str, str, str], refusal: Refusal) -> None:
    assert shell.ask(redeliver, three[2]) == {"redelivered": [three[2]], "refused": {}}
    assert shell.announced, "workers are told"
    assert shell.store.claim_delivery(three[2]) is not None
    sentence = refusal(shell.run(redeliver, "msg_0", three[0]))
    assert sentence == "msg_0: there is no such delivery"
    assert shell.store.claim_delivery(three[0]) is not None, "the others are sent all the same"


def test_all_that_failed_are_sent_again(shell: Shell, three: tuple[str, str, str]) -> None:
    assert shell.ask(redeliver, "--all-failed", "--endpoint", "https://b.example.com/hook")["redelivered"] == [three[1]]
    assert shell.ask(redeliver, "--all-failed", "--tenant", "nobody")["redelivered"] == []
    assert shell.ask(redeliver, "--all-failed")["redelivered"] == [three[0]]


@pytest.mark.parametrize("arguments", [(), ("msg_1", "--all-failed"), ("msg_1", "--tenant", "a")])
def test_redeliver_wants_either_ids_or_all(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.run(redeliver, *arguments).exit_code == 2
