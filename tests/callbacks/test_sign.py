from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from meshroom_tasks.callbacks import check_secret, sign

BODY = json.dumps({"job_id": "j", "metadata": {"name": "größe ☃"}}, ensure_ascii=False).encode()


def secret(size: int, fill: int = 7) -> str:
    return "whsec_" + base64.b64encode(bytes([fill]) * size).decode()


OLD, NEW = secret(32, 1), secret(32, 2)


def verify(key: str, headers: dict[str, str], body: bytes = BODY) -> None:
    Webhook(key).verify(body, headers)


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-5))])
def test_the_specifications_own_verifier_accepts_the_signature(zone: timezone) -> None:
    headers = sign(NEW, "msg_1", datetime.now(zone), BODY)
    assert sorted(headers) == ["webhook-id", "webhook-signature", "webhook-timestamp"]
    verify(NEW, headers)
    for wrong in (
        {**headers, "webhook-id": "msg_2"},
        {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ):
        with pytest.raises(WebhookVerificationError):
            verify(NEW, wrong)
    with pytest.raises(WebhookVerificationError):
        verify(NEW, headers, BODY + b" ")
    with pytest.raises(WebhookVerificationError):
        verify(OLD, headers)


def test_the_published_example() -> None:
    """The example that the reference implementations of Standard Webhooks test with."""
    headers = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_during_rotation_both_secrets_sign(separator: str) -> None:
    headers = sign(f"{NEW}{separator}{OLD}", "msg_1", datetime.now(UTC), BODY)
    assert len(headers["webhook-signature"].split(" ")) == 2
    verify(OLD, headers)
    verify(NEW, headers)


def test_without_a_secret_there_is_no_signature() -> None:
    assert sorted(sign("", "msg_1", datetime.now(UTC), BODY)) == ["webhook-id", "webhook-timestamp"]


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        sign(NEW, "msg_1", datetime(2026, 11, 20), BODY)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_good_secrets(size: int) -> None:
    assert check_secret(secret(size)) == (secret(size),)


@pytest.mark.parametrize(
    "value",
    [
        secret(23),
        secret(65),
        "hunter2hunter2hunter2hunter2hunter2",
        secret(32).removeprefix("whsec_"),
        secret(32)[:-1],
        secret(32) + "!",
        "whsec_" + "ä" * 32,
        f"{NEW} hunter2",
        f"{NEW} {OLD} {secret(24)}",
    ],
)
def test_bad_secrets_are_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValueError, match="WEBHOOK_SECRET") as caught:
        check_secret(value)
    assert value not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_secret_of_nothing() -> None:
    with pytest.raises(ValueError, match="WEBHOOK_SECRET"):
        check_secret("whsec_")


def test_no_secret() -> None:
    assert check_secret(" ") == ()
