"""Telling a client's server how a job ended: one call of `post` is one POST and one attempt, and never raises.

Signed by the Standard Webhooks specification, version 1.0 (https://www.standardwebhooks.com). When the next attempt
is due is a pure function of the schedule and of what came of the last one; who waits and remembers is the job store.
"""

from __future__ import annotations

import base64
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import requests
from standardwebhooks import Webhook

from meshroom_tasks.egress import Deadline, TransferError, parse_retry_after, stream
from meshroom_tasks.errors import AddressNotAllowed, RequestRefused
from meshroom_tasks.jobs.records import DeliveryStatus

RESPONSE_HEAD_BYTES = 1024
"""How much of the receiver's answer is kept; no more is read."""

_JITTER = 0.2
_OVERLOAD_SECONDS = 60.0
_TOO_MANY_REQUESTS = 429
_GONE = 410
_WHSEC = "whsec_"
_SECRET_BYTES = range(24, 65)


@dataclass(frozen=True)
class Outcome:
    """What came of one POST. `status_code` is None where no answer came; `error` is None where it was received (2xx).

    `seconds` is how long it took; `response_head` the beginning of the answer as printable text; `retry_after` the
    seconds that the receiver asks to wait.
    """

    status_code: int | None
    error: str | None
    seconds: float
    response_head: str = ""
    retry_after: float | None = None
    timed_out: bool = False

    @property
    def received(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


@dataclass(frozen=True)
class NextStep:
    """What becomes of a delivery: `pending` until the next attempt `at`, or an end of it (`at` is None)."""

    status: DeliveryStatus
    at: datetime | None = None


def next_attempt(
    schedule: Sequence[float], attempt_number: int, outcome: Outcome, now: datetime, jitter: float
) -> NextStep:
    """When to try again after attempt `attempt_number` (from 1), if at all.

    `schedule[n]` seconds lie before attempt n + 1, give or take a fifth as `jitter` (-1 to 1) says. A receiver's
    Retry-After counts within one to two times that; one that is overloaded (no answer in time, 429) has at least a
    minute. 410 Gone ends the delivery.
    """
    if outcome.received:
        return NextStep("succeeded")
    if outcome.status_code == _GONE:
        return NextStep("disabled")
    if attempt_number >= len(schedule):
        return NextStep("failed")
    delay = schedule[attempt_number]
    if outcome.retry_after is not None:
        wait = min(max(outcome.retry_after, delay), 2 * delay)
    else:
        wait = delay * (1 + _JITTER * jitter)
    if outcome.timed_out or outcome.status_code == _TOO_MANY_REQUESTS:
        wait = max(wait, _OVERLOAD_SECONDS)
    return NextStep("pending", now + timedelta(seconds=wait))


def check_schedule(values: Iterable[str | float]) -> tuple[float, ...]:
    """The seconds before each attempt; ValueError where they are none."""
    try:
        schedule = tuple(float(value) for value in values)
    except ValueError:
        raise ValueError("CALLBACK_SCHEDULE must be seconds separated by commas, like 0,5,30") from None
    if not schedule or not all(0 <= delay <= 10**7 for delay in schedule):
        raise ValueError("CALLBACK_SCHEDULE must have at least one delay, each from 0 to 10000000 seconds")
    return schedule


def check_secret(secret: str) -> tuple[str, ...]:
    """The signing secrets in the setting: none, one, or during rotation two, separated by a space or a comma.

    Raises ValueError (without the secret in it) unless each is `whsec_` and the base64 of 24 to 64 bytes.
    """
    secrets = tuple(part for part in re.split(r"[\s,]+", secret) if part)
    if len(secrets) > 2:
        raise ValueError("WEBHOOK_SECRET must hold one secret, or during rotation two")
    for number, item in enumerate(secrets, start=1):
        try:
            size = len(base64.b64decode(item.removeprefix(_WHSEC), validate=True))
        except ValueError:
            size = 0
        if not item.startswith(_WHSEC) or size not in _SECRET_BYTES:
            raise ValueError(
                f"WEBHOOK_SECRET (number {number}) must be {_WHSEC} followed by the base64 of 24 to 64 random "
                f'bytes; make one with: echo "{_WHSEC}$(openssl rand -base64 32)"'
            )
    return secrets


def sign(secret: str, message_id: str, timestamp: datetime, body: bytes) -> dict[str, str]:
    """The webhook headers for exactly these bytes (UTF-8), sent at `timestamp` (aware).

    With two secrets there are two signatures; with none only the id, by which receivers know repeats, and the time.
    """
    if timestamp.tzinfo is None:
        raise ValueError("a webhook's timestamp must be aware")
    moment = timestamp.astimezone(UTC).replace(microsecond=0)
    headers = {"webhook-id": message_id, "webhook-timestamp": str(int(moment.timestamp()))}
    text = body.decode()
    signatures = [Webhook(item).sign(message_id, moment, text) for item in check_secret(secret)]
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})


def post(
    session: requests.Session, url: str, body: bytes, headers: Mapping[str, str], *, connect: float, total: float
) -> Outcome:
    """POST the JSON `body` once: `connect` seconds to connect, `total` for everything.

    `session` is a guarded one with no redirects. The status line decides: what happens to the rest of the answer
    afterwards, of which the first 1,024 bytes are read, makes no difference.
    """
    started = time.monotonic()
    sent = {**headers, "Content-Type": "application/json", "Connection": "close"}
    status: int | None = None
    retry_after: float | None = None
    head = bytearray()
    error: str | None = None
    timed_out = False
    try:
        with (
            Deadline(total) as deadline,
            stream(
                session,
                url,
                deadline=deadline,
                method="POST",
                body=body,
                headers=sent,
                connect_seconds=connect,
                read_seconds=total,
            ) as reply,
        ):
            status = reply.status
            retry_after = parse_retry_after(reply.headers.get("Retry-After", ""), datetime.now(UTC))
            for chunk in reply.head(RESPONSE_HEAD_BYTES):
                head += chunk
    except (AddressNotAllowed, RequestRefused) as refusal:
        error = refusal.message
    except TransferError as failure:
        error, timed_out = failure.reason, failure.timed_out
    if status is not None:
        error, timed_out = None if 200 <= status < 300 else f"the receiver answered {status}", False
    return Outcome(status, error, time.monotonic() - started, _printable(bytes(head)), retry_after, timed_out)


def _printable(head: bytes) -> str:
    text = head[:RESPONSE_HEAD_BYTES].decode(errors="replace")
    unsafe = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "".join(" " if unicodedata.category(character) in unsafe else character for character in text)
