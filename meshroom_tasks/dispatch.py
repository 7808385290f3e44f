"""The one place that turns outbox rows into Celery messages, by task name."""

from __future__ import annotations

from meshroom_tasks.celery_app import app
from meshroom_tasks.jobs.outbox import MOST_HINTS, Hint
from meshroom_tasks.jobs.store import JobStore
from meshroom_tasks.logs import logger

log = logger(__name__)

_PUBLISH_RETRY = {"max_retries": 1, "interval_start": 0.1, "interval_max": 0.2}
_CONFIRM_SECONDS = 5.0


def flush(store: JobStore) -> int:
    """Send what the outbox holds; returns how many hints were sent.

    Never raises: what cannot be sent now stays in the outbox, and the sweeper sends it later.
    """
    sent = 0
    try:
        while hints := store.take_hints(MOST_HINTS):
            for position, hint in enumerate(hints):
                if not _send(hint):
                    store.give_hints_back([late.id for late in hints[position:]])
                    return sent
                store.drop_hints([hint.id])
                sent += 1
            if len(hints) < MOST_HINTS:
                break
    except Exception:
        log.exception("the outbox could not be flushed; the sweeper will try again")
    return sent


def _send(hint: Hint) -> bool:
    try:
        app.send_task(
            hint.task,
            args=(hint.subject,),
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
