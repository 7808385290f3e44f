"""Figures for Prometheus, read from the database at each scrape: the same from every process, also after a restart."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from meshroom_tasks import topology
from meshroom_tasks.jobs.figures import Figures
from meshroom_tasks.jobs.workers import WorkerView, without_worker
from web.auth import is_admin
from web.keyring import KeyRefused
from web.services import Services, services

blueprint = APIBlueprint("metrics", __name__, enable_openapi=False)

_SECONDS = 2.0
_WORKER_STATES = ("running", "draining", "stopping", "refused", "lost")


@blueprint.get("/metrics")
def metrics() -> Response:
    """For whoever has METRICS_TOKEN, or a key with the scope `admin`."""
    parts = services()
    if not _has_token(parts.settings.metrics_token.get_secret_value()) and not is_admin():
        raise KeyRefused
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(*parts.recent.get("figures", (), _SECONDS, lambda: _read(parts))))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _has_token(token: str) -> bool:
    sent = request.headers.get("Authorization", "")
    return bool(token) and hmac.compare_digest(sent.encode(), f"Bearer {token}".encode())


def _read(parts: Services) -> tuple[Figures, tuple[WorkerView, ...], tuple[str, ...]]:
    workers = parts.store.workers()
    return parts.store.figures(), workers, without_worker(topology.names(parts.settings.intensive_queue), workers)


class _Collector(Collector):
    def __init__(self, figures: Figures, workers: tuple[WorkerView, ...], alone: tuple[str, ...]) -> None:
        self._figures, self._workers, self._alone = figures, workers, alone

    def collect(self) -> Iterator[GaugeMetricFamily]:
        figures = self._figures
        yield _gauge("recon_jobs_total", "Jobs that are kept.", ("status",), figures.jobs)
        yield _gauge("recon_steps", "Steps that are ready or running.", ("queue", "state"), figures.steps)
        states = dict.fromkeys(_WORKER_STATES, 0)
        for worker in self._workers:
            states[worker.state] += 1
        yield _gauge("recon_workers", "Workers heard of in the last hour.", ("state",), states)
        yield _gauge("recon_queues_without_worker", "Queues that nobody serves.", (), {(): len(self._alone)})
        yield _gauge(
            "recon_stage_duration_seconds",
            "Mean of the chunks that ended in the last hour.",
            ("stage", "outcome"),
            {(runs.stage, runs.outcome): runs.seconds / runs.count for runs in figures.recent},
        )
        yield _gauge(
            "recon_stage_runs",
            "Chunks that ended in the last hour.",
            ("stage", "outcome"),
            {(runs.stage, runs.outcome): runs.count for runs in figures.recent},
        )
        yield _gauge("recon_webhook_attempts_total", "Attempts that are kept.", ("outcome",), figures.attempts)
        yield _gauge("recon_webhook_pending", "Callbacks that are still due.", (), {(): figures.pending_deliveries})
        yield _gauge(
            "recon_webhook_oldest_pending_seconds",
            "Age of the oldest callback that is still due.",
            (),
            {(): figures.oldest_pending_seconds},
        )
        yield _gauge(
            "recon_egress_blocked_total",
            "Jobs and attempts to call back that failed for an address that may not be called.",
            ("reason",),
            figures.blocked,
        )
        yield _gauge("recon_outbox_hints", "Hints that were not sent yet.", (), {(): figures.hints})
        yield _gauge(
            "recon_storage_of_another_installation",
            "1 where nothing is removed, since the object store is not that of this database.",
            (),
            {(): figures.storage_is_anothers},
        )


def _gauge(name: str, about: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> GaugeMetricFamily:
    """`values`: by the value of the one label, or by those of all."""
    family = GaugeMetricFamily(name, about, labels=labels)
    for which, value in values.items():
        family.add_metric((which,) if isinstance(which, str) else which, value)
    return family
