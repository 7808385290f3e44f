from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from meshroom_tasks.errors import AddressNotAllowed, TooFewImages
from meshroom_tasks.jobs.records import AttemptView
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.settings import PROJECT
from tests.waiting import eventually
from tests.web.conftest import Site
from tests.web.problem import assert_problem

TOKEN = "a-token-of-prometheus"


def read(site: Site) -> dict[tuple[str, ...], float]:
    answer = site.client().get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.get_data(as_text=True))
        for sample in family.samples
    }


def test_it_says_what_the_tables_say(site: Site) -> None:
    site.submit()
    failed = site.submit()
    site.write(failed, status="failed")
    site.store.worker_started(WorkerFacts("light@host", "host", 8, ("ingest", "callback"), 2))
    found = read(site)
    assert (found["recon_jobs_total", "queued"], found["recon_jobs_total", "failed"]) == (1, 1)
    assert found["recon_jobs_total", "running"] == 0
    assert found["recon_steps", "ingest", "ready"] == 2
    assert (found["recon_workers", "running"], found[("recon_queues_without_worker",)]) == (1, 2)
    assert found[("recon_outbox_hints",)] == 2
    assert found[("recon_storage_of_another_installation",)] == 0
    site.store.note_storage(is_anothers=True)
    eventually(lambda: read(site)[("recon_storage_of_another_installation",)] == 1)
    assert found[("recon_webhook_oldest_pending_seconds",)] == 0


def test_addresses_that_may_not_be_called(site: Site) -> None:
    assert read(site)["recon_egress_blocked_total", "photo"] == 0
    site.submit(callback_url="https://example.com/told")
    [hint] = site.store.take_hints()
    work = site.store.claim(hint.subject, "light@host")
    assert work is not None
    site.store.fail(work, AddressNotAllowed())
    eventually(lambda: read(site)["recon_egress_blocked_total", "photo"] == 1)
    [delivery] = site.store.deliveries(work.job_id)
    due = site.store.claim_delivery(delivery.id)
    assert due is not None
    refused = AttemptView(due.attempt, datetime.now(UTC), None, AddressNotAllowed().message, 0.1, "")
    site.store.record_attempt(due, refused, "failed", None)
    eventually(lambda: read(site)["recon_egress_blocked_total", "callback"] == 1)


def test_times_of_stages_are_means(site: Site) -> None:
    site.submit()
    [hint] = site.store.take_hints()
    work = site.store.claim(hint.subject, "light@host")
    assert work is not None
    site.store.fail(work, TooFewImages("too few"))
    found = read(site)
    assert found["recon_stage_runs", "failed", "ingest"] == 1
    assert found["recon_stage_duration_seconds", "failed", "ingest"] >= 0


def test_it_is_for_those_who_watch(make_site: Callable[..., Site]) -> None:
    site = make_site(metrics_token=TOKEN)
    for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": f"Basic {TOKEN}"}):
        assert_problem(site.visitor().get("/metrics", headers=headers), 401, "unauthorized")
    assert_problem(site.client(["read", "submit"]).get("/metrics"), 401, "unauthorized")
    assert site.visitor().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert site.client(["admin"]).get("/metrics").status_code == 200


def test_an_empty_token_opens_nothing(site: Site) -> None:
    assert_problem(site.visitor().get("/metrics", headers={"Authorization": "Bearer "}), 401, "unauthorized")


def expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "expr" in value:
            yield value["expr"]
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            yield from expressions(member)


@pytest.mark.parametrize("file", ["alerts.yml", "grafana.json"])
def test_what_is_watched_is_there(site: Site, file: str) -> None:
    text = (PROJECT / "deploy" / file).read_text()
    used = set(re.findall(r"recon_\w+", " ".join(expressions(yaml.safe_load(text)))))
    told = re.findall(r"^# TYPE (\w+)", site.client().get("/metrics").get_data(as_text=True), re.MULTILINE)
    assert len(used) >= 5
    assert used <= set(told)


def test_alerts_have_what_prometheus_asks_of_them() -> None:
    [group] = yaml.safe_load((PROJECT / "deploy" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert re.fullmatch(r"\d+m", rule["for"])


def test_the_dashboard_can_be_loaded() -> None:
    dashboard = json.loads((PROJECT / "deploy" / "grafana.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) == 8
    assert all(panel["targets"][0]["expr"] for panel in dashboard["panels"])
