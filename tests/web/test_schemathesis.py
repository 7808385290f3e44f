"""schemathesis sends what the OpenAPI document allows, and what it forbids, and judges every answer by it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshroom_tasks import topology
from meshroom_tasks.handoff.stage_logs import log_key
from meshroom_tasks.jobs.store import open_store
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.settings import PROJECT
from tests.web.conftest import KEY, Site
from tests.web.serving import Server, serving

_PHASES = "examples,coverage,fuzzing,stateful"
_SECONDS = 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # It sends wrong keys to every route, more often than from one address they are answered.
    with serving(tmp_path_factory.mktemp("schemathesis"), wrong_keys_per_minute=100_000, lease_seconds=3600) as server:
        facts = WorkerFacts("all@host", "host", 1, topology.names(), 1)
        open_store(server.settings).worker_started(facts)  # Or /readyz is 503, rightly.
        yield server


def judge(server: Server, config: Path, *options: str) -> None:
    """Every check in every phase, with the same data each time."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{server.url}/openapi.json", "--header", f"X-API-Key: {KEY}"),
        *("--checks", "all", "--phases", _PHASES, "--seed", "1", "--max-examples", "10", "--no-color"),
        *("--generation-database", "none", "--suppress-health-check", "all", *options),
    ]
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, timeout=_SECONDS)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    bugs = [line for line in server.lines() if line.get("level") == "error"]
    assert not bugs, bugs


def test_every_route_does_as_the_document_says(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text((PROJECT / "schemathesis.toml").read_text())
    judge(server, config)


def test_so_do_those_of_a_job_with_results_and_logs(server: Server, tmp_path: Path) -> None:
    site = Site(server.settings)
    job_id = site.submit()
    site.storage.put_bytes(log_key(job_id, "ingest", 0), b"a line\n" * 100)
    site.finish(job_id, {"texturedMesh.obj": b"v 0 0 0\n" * 100, "model.glb": b"glTF"})
    config = tmp_path / "schemathesis.toml"
    known = f'[parameters]\njob_id = "{job_id}"\nstage = "ingest"\nname = "model.glb"\n\n'
    config.write_text(known + (PROJECT / "schemathesis.toml").read_text())
    judge(server, config, "--include-method", "GET", "--include-path-regex", "/jobs/{job_id}|/results/")
