"""How many jobs a second the web app takes, each committed before it answers, and how many it shows.

    python -m benchmarks.submissions [--seconds 10] [--rounds 3] [--workers 2] [--connections 4]

Needs wrk (Debian package `wrk`), which keeps its connections alive. No workers run: what is measured is the web app and
its database (SQLite). The yardsticks of the same run are `/healthz` of the same server, which touches nothing, and bare
commits of one small row to SQLite by one process, as durable as the service's. Afterwards the jobs are counted, with
their steps and hints: one of each for every 202.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import requests
import sqlalchemy as sa

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.store import open_store
from meshroom_tasks.ports import free_port
from meshroom_tasks.settings import PROJECT, Settings, load_settings

KEY = "a-key-for-benchmarks-1234567890"
_BODY = {
    "image_urls": [f"https://photos.example.com/chair/{index:03}.jpg" for index in range(20)],
    "callback_url": "https://shop.example.com/hooks/reconstruction",
    "metadata": {"order": 4711, "customer": "c-81"},
}
_REPORT = """
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw; times in milliseconds. `cpu`: of the web app for each request."""

    requests: int
    a_second: float
    p50: float
    p99: float
    errors: int
    cpu: float = 0.0

    def __str__(self) -> str:
        times = f"p50 {self.p50:6.2f} ms   p99 {self.p99:6.2f} ms   CPU {self.cpu:5.2f} ms"
        return f"{self.a_second:8.0f}/s   {times}   errors {self.errors}"


@contextmanager
def web_app(folder: Path, workers: int) -> Iterator[tuple[Settings, psutil.Process]]:
    settings = load_settings(
        x_api_key=KEY, data_dir=folder, port=free_port(), web_workers=workers, log_level="WARNING", log_format="json"
    )
    command = [sys.executable, "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.app:create_app()"]
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env={**os.environ, **settings.as_environment()}, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 60
        while not _answers(settings):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "web.log").read_text())
            time.sleep(0.1)
        yield settings, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _answers(settings: Settings) -> bool:
    try:
        return requests.get(f"{settings.base_url}/healthz", timeout=5).ok
    except requests.RequestException:
        return False


def cpu_seconds(server: psutil.Process) -> float:
    """Of the web app's processes so far."""
    times = [process.cpu_times() for process in (server, *server.children())]
    return sum(time.user + time.system for time in times)


def load(url: str, script: str, seconds: float, connections: int) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + _REPORT)
        file.flush()
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds:.0f}s", "-s", file.name, url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", output)
    assert found is not None, output
    count, duration, p50, p99, errors = map(int, found.groups())
    return Load(count, count / duration * 1e6, p50 / 1000, p99 / 1000, errors)


def bare_commits(folder: Path, seconds: float) -> float:
    """Commits a second of one row each, one after the other."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table row (id integer primary key, text text)")
    count, begun = 0, time.monotonic()
    while time.monotonic() - begun < seconds:
        connection.execute("begin immediate")
        connection.execute("insert into row (text) values (?)", ("x" * 200,))
        connection.execute("commit")
        count += 1
    return count / (time.monotonic() - begun)


def counts(settings: Settings) -> tuple[int, int]:
    """Jobs, and jobs that have a step that is ready."""
    store = open_store(settings)
    with store.database.snapshot() as connection:
        jobs = connection.execute(sa.select(sa.func.count()).select_from(tables.job)).scalar_one()
        ready = sa.select(sa.func.count(tables.step.c.job_id.distinct())).where(tables.step.c.state == "ready")
        return int(jobs), int(connection.execute(ready).scalar_one())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="gunicorn's processes")
    parser.add_argument("--connections", type=int, default=4)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        print("wrk is missing: install the Debian package wrk")
        return 1
    head = f'wrk.headers["X-API-Key"] = "{KEY}"\n'
    post = f"""{head}wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = {json.dumps(json.dumps(_BODY))}
"""
    found: dict[str, list[Load]] = {}
    with tempfile.TemporaryDirectory(prefix="submissions-") as name:
        for round_ in range(given.rounds):
            folder = Path(name) / str(round_)
            folder.mkdir()
            with web_app(folder, given.workers) as (settings, server):
                url = settings.base_url
                job = requests.post(f"{url}/api/v1/reconstruct", json=_BODY, headers={"X-API-Key": KEY}, timeout=60)
                one = job.headers["Location"]
                runs = {
                    "GET /healthz": (f"{url}/healthz", ""),
                    "POST a job": (f"{url}/api/v1/reconstruct", post),
                    "GET a job": (f"{url}{one}", head),
                }
                print(f"round {round_ + 1}: bare commits {bare_commits(folder, 2):.0f}/s")
                for what, (address, script) in runs.items():
                    before = counts(settings)[0]
                    spent = cpu_seconds(server)
                    seen = load(address, script, given.seconds, given.connections)
                    seen = replace(seen, cpu=(cpu_seconds(server) - spent) / max(1, seen.requests) * 1000)
                    found.setdefault(what, []).append(seen)
                    print(f"  {what:14} {seen}", flush=True)
                    if what.startswith("POST"):
                        jobs, ready = counts(settings)
                        assert jobs - before >= seen.requests - seen.errors, (jobs, before, seen)
                        assert jobs == ready, (jobs, ready)
    for what, loads in found.items():
        rate, worst = statistics.median(item.a_second for item in loads), max(item.p99 for item in loads)
        cpu = statistics.median(item.cpu for item in loads)
        print(f"median {what:14} {rate:8.0f}/s   CPU {cpu:.2f} ms   worst p99 {worst:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
