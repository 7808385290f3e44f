"""Hostile values in every place that a client may write to."""

from __future__ import annotations

import base64
import json
import logging

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.logs import configure_logging, logger
from tests.web.problem import assert_problem

NOW = "2026-11-23T12:00:00.123456+00:00"


def cursor(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "%00",
        "AAAA",
        cursor(None),
        cursor([]),
        cursor([NOW]),
        cursor([NOW, 1]),
        cursor([NOW, None]),
        cursor([1, "x"]),
        cursor(["yesterday", "x"]),
        cursor([NOW.removesuffix("+00:00"), "x"]),
        cursor([NOW, "nul\0"]),
        cursor([NOW, "\ud800"]),
        cursor([NOW, "x' or 1=1 --"]),
        cursor(["0001-01-01T00:00:00+14:00", "x"]),
        cursor(["9999-12-31T23:59:59-14:00", "x"]),
        cursor({"a": 1}),
        base64.urlsafe_b64encode(b"[" * 380).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_cursors(client: FlaskClient, text: str) -> None:
    answer = client.get("/api/v1/jobs", query_string={"cursor": text})
    assert_problem(answer, 422, "request_refused", "/cursor")


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1e400", "0", "-1", "nan"]
)
def test_moments(client: FlaskClient, moment: str) -> None:
    assert client.get("/api/v1/jobs", query_string={"created_after": moment}).status_code in (200, 422)


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_log_line_is_one_line_and_its_traceback_shows_no_values(
    style: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        password = "s3cr3t-of-a-frame"
        raise ValueError(len(password))

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    configure_logging("INFO", style)
    hostile = "/a\nGET /forged\r\n\x1b[2J\x1b]0;title\x07\x85\u2028"
    logger("tests").info("request", path=hostile)
    logging.getLogger("tests").warning("request %s", hostile)
    written = capfd.readouterr().err
    assert len(written.strip().splitlines()) == 2, written
    assert not [character for character in written if not character.isprintable() and character != "\n"]
    try:
        fail()
    except ValueError as error:
        logger("tests").error("failed", exc_info=error)
        logging.getLogger("tests").exception("failed")
    written = capfd.readouterr().err
    assert "ValueError" in written
    assert "s3cr3t-of-a-frame" not in written.replace('password = "s3cr3t-of-a-frame"', "")
