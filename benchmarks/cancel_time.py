"""How long it takes from the request to cancel a running job until nothing of its engine runs, over RabbitMQ.

    python -m benchmarks.cancel_time [--jobs N] [--broker amqp://...]

The engine is that of the tests at its worst: it and its three children, two of them in sessions of their own, ignore
SIGTERM. "Gone" is when no process that was below the worker's pool process for this chunk lives; "told" is when
`GET /api/v1/jobs/<id>` says `cancelled`, and "called" when the callback has come. Never may "told" come first.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from benchmarks.dispatch_latency import broker
from tests.deployment import Deployment, deployed
from tests.waiting import eventually

_STUBBORN = {"ignore_sigterm": True, "own_session": True, "children": ["plain", "session", "daemon"], "hang": True}
_CHILDREN = 3


@dataclass(frozen=True)
class Cancelled:
    """Seconds after the request."""

    gone: float
    told: float
    called: float


def sleepers(deployment: Deployment) -> list[psutil.Process]:
    """The children of the engine that runs, whatever their session."""
    parent = deployment.worker().process
    if parent is None:
        return []
    found = []
    for process in psutil.Process(parent.pid).children(recursive=True):
        with suppress(psutil.Error):  # It has just ended.
            if "time.sleep" in " ".join(process.cmdline()):
                found.append(process)
    return found


def runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def cancel(deployment: Deployment, seed: int) -> Cancelled:
    job_id = deployment.submit(deployment.photo_urls(3, seed=seed))
    deployment.computing("DepthMap")
    eventually(lambda: len(sleepers(deployment)) == _CHILDREN)
    left = [*deployment.stage_processes(), *sleepers(deployment)]
    url, headers = f"{deployment.service.url}/api/v1/jobs/{job_id}", {"X-API-Key": deployment.service.api_key}
    with requests.Session() as session:
        begun = time.monotonic()
        session.post(f"{url}/cancel", headers=headers, timeout=60).raise_for_status()
        gone = told = 0.0
        while not (gone and told):
            if not told and session.get(url, headers=headers, timeout=60).json()["status"] == "cancelled":
                told = time.monotonic() - begun
            left = [process for process in left if runs(process)]
            if not gone and not left:
                gone = time.monotonic() - begun
            if told and not gone:
                raise SystemExit(f"the job was cancelled while {left} ran")
            time.sleep(0.02)
    deployment.callback(job_id)
    return Cancelled(gone, told, time.monotonic() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--broker", help="URL of a RabbitMQ that nobody else uses; default: a private one")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cancel-") as name,
        broker(options.broker, Path(name) / "broker") as url,
        deployed(Path(name) / "service", broker_url=url, cpu_workers=1) as deployment,
    ):
        deployment.script({"stages": [{"node_type": "DepthMap", **_STUBBORN}]})
        found = [cancel(deployment, seed) for seed in range(options.jobs)]
    for what in ("gone", "told", "called"):
        seconds = [getattr(one, what) for one in found]
        print(f"{what:>6}: median {statistics.median(seconds):.1f} s, longest {max(seconds):.1f} s of {len(found)}")


if __name__ == "__main__":
    main()
