"""docs/quick-start.md and the integration in README.md, run as they stand, by a service that runs for them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from meshroom_tasks.ports import free_port
from meshroom_tasks.settings import PROJECT
from tests import scripted_engine
from tests.deployment import deployed, write_photos
from tests.documents import blocks_run_by
from tests.waiting import LONG, eventually

pytestmark = pytest.mark.slow

UP = "-m meshroom_tasks.local_service"


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("X_API_KEY", "DATA_DIR")}
    return {**kept, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def running(command: list[str], folder: Path, output: Path, variables: Mapping[str, str]) -> Iterator[None]:
    # Tests that run in the background of a shell ignore SIGINT, and what they start would too.
    heeding = ["env", "--default-signal=INT", *command]
    with output.open("w") as out:
        process = subprocess.Popen(heeding, cwd=folder, env=variables, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
        assert process.poll() is None, output.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(LONG)
        finally:
            process.kill()


def listens(url: str) -> bool:
    try:
        requests.get(url, timeout=LONG)
    except requests.ConnectionError:
        return False
    return True


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What of a checkout the page uses, after `make demo`."""
    (tmp_path / "build" / "demo" / "photos").mkdir(parents=True)
    write_photos(tmp_path / "build" / "demo" / "photos", 4)
    (tmp_path / "docs").symlink_to(PROJECT / "docs")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_the_quick_start(checkout: Path) -> None:
    start, receive, *third = blocks_run_by(__file__, "docs/quick-start.md")
    assert UP in (PROJECT / "Makefile").read_text()
    port, received = free_port(), free_port()

    def here(block: str) -> list[str]:
        for shown, used in (("127.0.0.1:8000", port), ("127.0.0.1:9000", received)):
            block = block.replace(shown, f"127.0.0.1:{used}")
        block = block.replace("PORT=9000 .venv/bin/python", f"PORT={received} exec .venv/bin/python")
        return ["bash", "-ec", block.replace("make up", f"exec .venv/bin/python {UP}")]

    batch, compute = scripted_engine.commands()
    variables = environment(
        MESHROOM_BATCH=shlex.join(batch),
        MESHROOM_COMPUTE=shlex.join(compute),
        PORT=str(port),
        FLOWER_PORT=str(free_port()),
        WEB_WORKERS="1",
    )
    service, receiver = checkout / "service.txt", checkout / "receiver.txt"
    with ExitStack() as stack:
        stack.enter_context(running(here(start), checkout, service, variables))
        eventually(lambda: "http://" in service.read_text(), seconds=4 * LONG, about=service.read_text)
        stack.enter_context(running(here(receive), checkout, receiver, environment()))
        eventually(lambda: listens(f"http://127.0.0.1:{received}"), about=receiver.read_text)
        done = subprocess.run(
            here("\n".join(third)), cwd=checkout, env=environment(), capture_output=True, text=True, timeout=10 * LONG
        )
        assert done.returncode == 0, done.stdout + done.stderr
        job_id = done.stdout.split()[0]
        said = eventually(receiver.read_text, about=service.read_text)
        assert f"completed {job_id} {{'order': 42}}" in said
    assert '"status":"completed"' in done.stdout.replace(" ", "")
    assert {"texturedMesh.obj", "model.glb"} <= {path.name for path in (checkout / "model").iterdir()}


def test_the_integration_of_the_readme(tmp_path: Path) -> None:
    """It submits, and takes the callback that is genuine and no other."""
    (code,) = blocks_run_by(__file__, "README.md", "python")
    port = free_port()
    with deployed(tmp_path, callback_private_hosts=(f"127.0.0.1:{port}",)) as deployment:
        moved = code.replace("http://127.0.0.1:8000", deployment.service.url)
        (tmp_path / "backend.py").write_text(moved.replace("http://127.0.0.1:9000", f"http://127.0.0.1:{port}"))
        variables = environment(
            X_API_KEY=deployment.service.api_key,
            WEBHOOK_SECRET=deployment.settings.webhook_secret.get_secret_value(),
        )
        printed = tmp_path / "backend.txt"
        serve = [sys.executable, "-m", "flask", "--app", "backend", "run", "--port", str(port)]
        with running(serve, tmp_path, printed, variables):
            eventually(lambda: listens(f"http://127.0.0.1:{port}"), about=printed.read_text)
            forged = {"json": {"status": "completed", "metadata": {"order": "forged"}}, "timeout": LONG}
            assert requests.post(f"http://127.0.0.1:{port}/model-is-ready", **forged).status_code >= 400
            ask = f"import backend; print(backend.submit('4711', {deployment.photo_urls()!r}))"
            done = subprocess.run(
                [sys.executable, "-c", ask], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=LONG
            )
            assert done.returncode == 0, done.stderr
            job = deployment.wait(done.stdout.strip())
            eventually(lambda: "4711 completed http" in printed.read_text(), about=printed.read_text)
            assert job["metadata"] == {"order": "4711"}
            assert "forged completed" not in printed.read_text()
