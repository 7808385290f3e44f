"""How long a worker that has nothing to do waits for the next stage, over RabbitMQ: finished chunk to claimed chunk.

    python -m benchmarks.dispatch_latency [--jobs N] [--broker amqp://...]

Both times are the job store's: the commit that finished the last chunk before, and the claim of the next. So it is
what our code and the broker take: the outbox, a confirmed publish, a delivery, a transaction. The engine is that of
the tests, jobs come one after the other, and a private RabbitMQ is started unless one is named.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from meshroom_tasks.jobs.records import JobView
from tests.deployment import deployed
from tests.servers.rabbitmq import private_rabbitmq, server_scripts


def latencies(job: JobView) -> list[float]:
    """Seconds from the end of all that came before to the start of each stage after the first."""
    spans = [
        (chunk.started_at, chunk.finished_at)
        for stage in job.stages
        for chunk in stage.chunks
        if chunk.started_at and chunk.finished_at
    ]
    found = []
    for begun, _ in spans:
        before: list[datetime] = [ended for _, ended in spans if ended <= begun]
        if before:
            found.append((begun - max(before)).total_seconds())
    return found


@contextmanager
def broker(url: str | None, folder: Path) -> Iterator[str]:
    if url is not None:
        yield url
        return
    if (scripts := server_scripts()) is None:
        raise SystemExit("there is no RabbitMQ on this machine; install rabbitmq-server, or name one with --broker")
    with private_rabbitmq(folder, scripts) as node:
        yield node.url


def measure(url: str, folder: Path, jobs: int) -> list[float]:
    found: list[float] = []
    # Hints that the sweeper sends again must not count: it waits for longer than any job takes.
    with deployed(folder, broker_url=url, cpu_workers=1, hint_seconds=60.0) as deployment:
        for number in range(jobs + 1):
            job_id = deployment.submit(deployment.photo_urls(3, seed=number))
            job = deployment.wait(job_id)
            if job["status"] != "completed":
                raise SystemExit(f"job {job_id} {job['status']}: {job['error']}")
            if number:  # The first one warms the processes up.
                found += latencies(deployment.store.job(job_id))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--broker", help="URL of a RabbitMQ that nobody else uses; default: a private one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="latency-") as name, broker(options.broker, Path(name) / "broker") as url:
        found = sorted(measure(url, Path(name) / "service", options.jobs))
    p95 = found[int(0.95 * (len(found) - 1))]
    print(f"{len(found)} stages: median {statistics.median(found) * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, ", end="")
    print(f"longest {found[-1] * 1000:.0f} ms")


if __name__ == "__main__":
    main()
