"""The one place that turns outbox rows into Celery messages, by task name."""

from __future__ import annotations

import itertools

from meshroom_tasks.celery_app import app
from meshroom_tasks.jobs.outbox import MOST_HINTS, Hint
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.logs import logger

log = logger(__name__)

_PUBLISH_RETRY = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.2}
_CONFIRM_SECONDS = 5.0


def flush(store: JobStore, most: int | None = None) -> int:
    """Send what the outbox holds, or `most` of it; returns how many hints were sent.

    Never raises: what cannot be sent now stays in the outbox, and the sweeper sends it later.
    """
    sent = 0
    try:
        at_once = min(most or MOST_HINTS, MOST_HINTS)
        while (most is None or sent < most) and (hints := store.take_hints(at_once)):
            accepted = [hint.id for hint in itertools.takewhile(_send, hints)]
            sent += len(accepted)
            store.drop_hints(accepted)
            if len(accepted) < len(hints):
                store.give_hints_back([hint.id for hint in hints[len(accepted) :]])
                return sent
            if len(hints) < at_once:
                break
    except Exception:
        log.exception("the outbox could not be flushed; the sweeper will try again")
    return sent


def _send(hint: Hint) -> bool:
    try:
        app.send_task(
            hint.task,
            args=(hint.subject,),
            argsrepr=f"job {hint.job_id}",  # What people look for; nobody knows a step by its id.
            queue=hint.queue,
            shadow=hint.label,
            priority=hint.priority,
            headers={"job_id": hint.job_id, "request_id": hint.request_id},
            retry=True,
            retry_policy=_PUBLISH_RETRY,
            confirm_timeout=_CONFIRM_SECONDS,  # A broker that is cut off without a word holds up nobody.
        )
    except Exception as error:
        log.warning("the broker takes no message; the hint stays in the outbox", hint=hint.label, error=str(error))
        return False
    return True
