"""The client of the service: it sends the jobs and cancels some, and tries again when nobody answers."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import requests

from tests.faults.chaos.plans import Plan

_TIMEOUT = 10.0
_PAUSE = 0.3


class Customer:
    """Works in a thread of its own, so that a service that is away holds up nothing but itself."""

    def __init__(self, url: str, api_key: str, run_name: str, callback_url: str, photos: Callable[[Plan], list[str]]):
        self._url = url
        self._run_name = run_name
        self._callback_url = callback_url
        self._photos = photos
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["X-API-Key"] = api_key
        self._to_send: queue.Queue[Plan] = queue.Queue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="customer", daemon=True)
        self.jobs: dict[str, Plan] = {}
        """By the id in the answer 202."""
        self.cancelled: set[str] = set()
        self.unanswered = 0
        """Requests that met a service that was away or broken."""
        self.complaints: list[str] = []
        """Answers that no fault excuses."""

    def send(self, plan: Plan) -> None:
        self._to_send.put(plan)

    @property
    def has_sent_all(self) -> bool:
        return self._to_send.unfinished_tasks == 0

    @property
    def to_cancel(self) -> dict[str, Plan]:
        return {
            job_id: plan
            for job_id, plan in tuple(self.jobs.items())
            if plan.ending == "cancelled" and job_id not in self.cancelled
        }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(2 * _TIMEOUT)

    def _work(self) -> None:
        while not self._over.is_set():
            with suppress(queue.Empty):
                plan = self._to_send.get(timeout=_PAUSE)
                while not self._over.is_set() and not self._submit(plan):
                    time.sleep(_PAUSE)
                self._to_send.task_done()
            for job_id, plan in self.to_cancel.items():
                if self._hangs(job_id, plan.cancel_in):
                    self._cancel(job_id)

    def _submit(self, plan: Plan) -> bool:
        body = {
            "image_urls": self._photos(plan),
            "callback_url": self._callback_url,
            "metadata": {"number": plan.number},
            "priority": plan.priority,
            "settings": plan.settings,
        }
        # The same key each time: an answer that got lost must not make a second job.
        key = {"Idempotency-Key": f"{self._run_name}-{plan.number}"}
        answer = self._ask("post", "/api/v1/reconstruct", json=body, headers=key)
        if answer is None:
            return False
        if answer.status_code != 202:
            self.complaints.append(f"job {plan.number}: {answer.status_code} {answer.text[:500]}")
        else:
            self.jobs[answer.json()["job_id"]] = plan
        return True

    def _hangs(self, job_id: str, node_type: str) -> bool:
        """Whether the stage runs in which the job is to be cancelled."""
        answer = self._ask("get", f"/api/v1/jobs/{job_id}")
        if answer is None or not answer.ok:
            return False
        return any(stage["node_type"] == node_type and stage["state"] == "running" for stage in answer.json()["stages"])

    def _cancel(self, job_id: str) -> None:
        answer = self._ask("post", f"/api/v1/jobs/{job_id}/cancel")
        if answer is None:
            return
        if answer.ok or answer.status_code == 409:  # 409: an earlier request was heeded, and its answer lost.
            self.cancelled.add(job_id)
        else:
            self.complaints.append(f"cancel: {answer.status_code} {answer.text[:500]}")

    def _ask(self, method: str, path: str, **options: object) -> requests.Response | None:
        """None when it is worth another try."""
        try:
            answer = self._session.request(method, f"{self._url}{path}", timeout=_TIMEOUT, **options)  # type: ignore[arg-type]
        except requests.RequestException:
            self.unanswered += 1
            return None
        if answer.status_code >= 500:
            self.unanswered += 1
            if answer.status_code != 503:
                self.complaints.append(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
            return None
        return answer
