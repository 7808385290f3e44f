"""What our own code costs for each chunk, in CPU time: the worker's processes and the wardens, without the engine.

    python -m benchmarks.chunk_cost [--jobs N]

Whole jobs with the engine of the tests run one after the other on one worker with one process, over a private RabbitMQ
and PostgreSQL. The kernel's figures of CPU time, before and after:

- pool process: claim, hand-off, the graph, heartbeats, reading the engine's log, bundles, finish, the next hints;
- parent: Celery's messages, and the worker's row;
- wardens: forking one for each chunk, and watching the engine.

Broker, database, web app and sweeper are not in it. The first job, which warms everything up, is not counted.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from meshroom_tasks.jobs.records import JobView
from tests.deployment import Deployment, deployed
from tests.servers.postgres import PostgresServer, binaries_here
from tests.servers.rabbitmq import private_rabbitmq, server_scripts


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far. `below`: of the process that forks the wardens, and of all below it that have ended."""

    parent: float
    pool: float
    below: float

    def since(self, before: Spent) -> Spent:
        return Spent(self.parent - before.parent, self.pool - before.pool, self.below - before.below)


def spent(deployment: Deployment) -> Spent:
    running = deployment.worker().process
    if running is None:
        raise SystemExit("the worker has ended")
    parent = psutil.Process(running.pid)
    (pool,) = parent.children()
    (fork_server,) = pool.children()
    return Spent(own(parent), own(pool), own(fork_server) + below(fork_server) + below(pool))


def own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def below(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.children_user + times.children_system)


def engine_seconds(job: JobView) -> tuple[int, float]:
    """How many chunks were computed, and the CPU seconds of the engine for them."""
    usages = [chunk.usage for stage in job.stages for chunk in stage.chunks if chunk.usage]
    return len(usages), sum(usage.cpu_seconds for usage in usages)


def measure(deployment: Deployment, jobs: int) -> Table:
    completed(deployment, 0)
    before, chunks, engine = spent(deployment), 0, 0.0
    for number in range(1, jobs + 1):
        more, seconds = engine_seconds(completed(deployment, number))
        chunks, engine = chunks + more, engine + seconds
    cost = spent(deployment).since(before)
    wardens = cost.below - engine
    table = Table("", f"CPU ms a chunk ({chunks} chunks)")
    for name, seconds in (("pool process", cost.pool), ("parent", cost.parent), ("wardens", wardens)):
        table.add_row(name, f"{1000 * seconds / chunks:.1f}")
    table.add_row("all", f"{1000 * (cost.pool + cost.parent + wardens) / chunks:.1f}")
    return table


def completed(deployment: Deployment, number: int) -> JobView:
    job_id = deployment.submit(deployment.photo_urls(3, seed=number))
    if deployment.wait(job_id)["status"] != "completed":
        raise SystemExit(f"job {job_id} is not completed\n{deployment.logs()}")
    return deployment.store.job(job_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    options = parser.parse_args()
    scripts, binaries = server_scripts(), binaries_here()
    if scripts is None or binaries is None:
        raise SystemExit("RabbitMQ or PostgreSQL is missing on this machine")
    with tempfile.TemporaryDirectory(prefix="chunk-cost-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user.
        (folder / "postgres").mkdir()
        database = PostgresServer(binaries, folder / "postgres")
        database.create()
        database.start()
        try:
            url = database.new_database("service", lambda _: None)
            with (
                private_rabbitmq(folder / "rabbitmq", scripts) as broker,
                deployed(
                    folder / "service", broker_url=broker.url, database_url=url, cpu_workers=1, heartbeat_seconds=2.0
                ) as deployment,
            ):
                Console().print(measure(deployment, options.jobs))
        finally:
            database.close()


if __name__ == "__main__":
    main()
