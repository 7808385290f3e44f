"""The receivers in docs/webhooks.md, run as they stand there, and the verifier of npm: they take what is ours alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from meshroom_tasks.callbacks import post, sign
from meshroom_tasks.egress import Egress, guarded_session
from meshroom_tasks.ports import free_port
from tests.documents import blocks_run_by
from tests.servers import npm
from tests.waiting import LONG, eventually

BODY = json.dumps({"job_id": "j1", "status": "completed", "metadata": {"name": "größe ☃"}}, ensure_ascii=False).encode()
EVENT = json.dumps({"type": "job.started", "job_id": "j1", "attempt": 1, "metadata": {}}).encode()


def secret(fill: int) -> str:
    return "whsec_" + base64.b64encode(bytes([fill]) * 32).decode()


OLD, NEW, OTHER = secret(1), secret(2), secret(3)


@dataclass
class Receiver:
    """An example that runs. `printed`: what it did with what it took."""

    url: str
    output: Path

    @property
    def printed(self) -> list[str]:
        return self.output.read_text().splitlines()

    def get(self, body: bytes, headers: dict[str, str]) -> int | None:
        """Posts as the service does; the status that comes back."""
        session = guarded_session(Egress(frozenset({self.url.split("/")[2]})), max_redirects=0)
        return post(session, self.url, body, headers, connect=LONG, total=LONG).status_code


@contextmanager
def running(command: list[str], folder: Path, secrets: str) -> Iterator[Receiver]:
    port, output, errors = free_port(), folder / "output.txt", folder / "errors.txt"
    environment = {**os.environ, "WEBHOOK_SECRET": secrets, "PORT": str(port)}
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
    url = f"http://127.0.0.1:{port}/hook"

    def listens() -> bool:
        assert process.poll() is None, errors.read_text()
        try:
            requests.post(url, data=b"{}", timeout=LONG)
        except requests.ConnectionError:
            return False
        return True

    try:
        eventually(listens, about=errors.read_text)
        yield Receiver(url, output)
    finally:
        process.kill()
        process.wait()


def example(language: str) -> str:
    (code,) = blocks_run_by(__file__, "docs/webhooks.md", language)
    return code


@pytest.fixture(params=["python", "javascript"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    """Each example, in the midst of a rotation."""
    if request.param == "python":
        (tmp_path / "receiver.py").write_text(example("python"))
        command = [sys.executable, "receiver.py"]
    else:
        (tmp_path / "receiver.mjs").write_text(example("javascript"))
        (tmp_path / "node_modules").symlink_to(npm.node_modules("webhooks"))
        command = [shutil.which("node") or "node", "receiver.mjs"]
    with running(command, tmp_path, f"{NEW} {OLD}") as receiver:
        yield receiver


def test_an_example_takes_what_is_ours_once_and_nothing_else(receiver: Receiver) -> None:
    now = datetime.now(UTC)
    good = sign(NEW, "msg_1", now, BODY)
    assert receiver.get(BODY, good) == 204
    assert receiver.get(BODY, sign(NEW, "msg_1", now + timedelta(seconds=1), BODY)) == 204, "a repeat"
    assert receiver.get(BODY, sign(OLD, "msg_2", now, BODY)) == 204, "the service has not heard of the new secret"
    assert receiver.get(EVENT, sign(f"{OTHER} {NEW}", "msg_3", now, EVENT)) == 204
    forged = {
        "another body": (BODY.replace(b"completed", b"failed"), good),
        "another id": (BODY, {**good, "webhook-id": "msg_9"}),
        "another secret": (BODY, sign(OTHER, "msg_4", now, BODY)),
        "an old one": (BODY, sign(NEW, "msg_5", now - timedelta(minutes=6), BODY)),
        "one from the future": (BODY, sign(NEW, "msg_6", now + timedelta(minutes=6), BODY)),
        "no signature": (BODY, sign("", "msg_7", now, BODY)),
        "no known signature": (BODY, {**good, "webhook-signature": "v1a,AAAA"}),
        "a malformed signature": (BODY, {**good, "webhook-signature": "rubbish"}),
        "no headers": (BODY, {}),
    }
    answers = {what: receiver.get(body, headers) for what, (body, headers) in forged.items()}
    assert answers == dict.fromkeys(forged, 401)
    large = b" " * 200_000
    assert receiver.get(large, sign(NEW, "msg_8", now, large)) == 413
    assert receiver.get(BODY, sign(NEW, "msg_9", datetime.now(UTC), BODY)) == 204, "it is still there"
    assert [line.split()[:2] for line in receiver.printed] == [
        ["completed", "j1"],
        ["completed", "j1"],
        ["job.started", "j1"],
        ["completed", "j1"],
    ]
    assert "größe" in receiver.printed[0]


VERIFIER = """
const { Webhook } = require("standardwebhooks");
const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const verdict = ({ secret, body, headers }) => {
  try { return new Webhook(secret).verify(body, headers).job_id; } catch (error) { return error.constructor.name; }
};
console.log(JSON.stringify(cases.map(verdict)));
"""


def test_the_verifier_of_npm_takes_our_signatures() -> None:
    modules, now = npm.node_modules("webhooks"), datetime.now(UTC)
    wrong = "WebhookVerificationError"
    cases = [
        (NEW, BODY, sign(NEW, "msg_1", now, BODY), "j1"),
        (NEW, EVENT, sign(NEW, "msg_1", now, EVENT), "j1"),
        (NEW, BODY, sign(f"{NEW} {OLD}", "msg_1", now, BODY), "j1"),
        (OLD, BODY, sign(f"{NEW} {OLD}", "msg_1", now, BODY), "j1"),
        (OTHER, BODY, sign(f"{NEW} {OLD}", "msg_1", now, BODY), wrong),
        (NEW, BODY + b" ", sign(NEW, "msg_1", now, BODY), wrong),
        (NEW, BODY, sign(NEW, "msg_1", now - timedelta(minutes=6), BODY), wrong),
    ]
    told = [{"secret": key, "body": body.decode(), "headers": headers} for key, body, headers, _ in cases]
    command = [shutil.which("node") or "node", "-e", VERIFIER]
    done = subprocess.run(
        command, cwd=modules.parent, input=json.dumps(told), capture_output=True, text=True, timeout=LONG
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [expected for *_, expected in cases]


def test_the_signature_without_a_library(tmp_path: Path) -> None:
    """The commands of the page, with the example that the reference implementations test with."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    script = example("sh")
    values = {
        "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "timestamp": "1614265330",
        "body": '{"test": 2432232314}',
    }
    done = subprocess.run(
        ["sh", "-c", script], env={**os.environ, **values}, capture_output=True, text=True, timeout=LONG
    )
    assert done.stdout.strip() == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
