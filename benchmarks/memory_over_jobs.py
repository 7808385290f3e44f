"""Does the memory of the web app, the sweeper or the workers grow with the jobs that went through them?

    python -m benchmarks.memory_over_jobs [--jobs 1000] [--seconds 3600] [--table FILE.csv]

All jobs are queued at once, with the photos of the first: their stages are in the stage cache after that, so each of
the others costs its messages, transactions, transfers and results, and hardly any computing. Two processes run the
stages. Every few seconds the resident memory of each process of the service is read (engines are not), with the number
of jobs that have ended. The slope is Theil and Sen's (the median of all pairs of samples), in MB for 1,000 jobs, over
the second half of the jobs: by then each process has loaded what it needs.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from meshroom_tasks.jobs import tables
from meshroom_tasks.jobs.store import JobStore
from tests.deployment import Deployment, deployed

_LOOK_SECONDS = 5.0
_TELL_JOBS = 100
_MB = 1e6


@dataclass(frozen=True)
class Sample:
    """`megabytes` by process: `web`, `web 1`, ... with numbers for the children of one."""

    ended: int
    megabytes: Mapping[str, float]


def look(deployment: Deployment, ended: int) -> Sample:
    found: dict[str, float] = {}
    for child in deployment.service.children:
        if child.process is None:
            continue
        with suppress(psutil.NoSuchProcess):  # One that has just died is started again.
            parent = psutil.Process(child.process.pid)
            for number, process in enumerate([parent, *parent.children()]):
                found[f"{child.name} {number}" if number else child.name] = process.memory_info().rss / _MB
    return Sample(ended, found)


def ended_jobs(store: JobStore) -> int:
    waiting = tables.job.c.status.in_(("queued", "running"))
    with store.database.snapshot() as connection:
        count: int = connection.execute(sa.select(sa.func.count()).select_from(tables.job).where(~waiting)).scalar_one()
    return count


def slope(samples: Sequence[Sample], name: str) -> float:
    """MB for 1,000 jobs."""
    points = [(sample.ended, sample.megabytes[name]) for sample in samples if name in sample.megabytes]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2) if b[0] > a[0]]
    return 1000 * statistics.median(slopes) if slopes else 0.0


def measure(deployment: Deployment, jobs: int, seconds: float) -> list[Sample]:
    store, urls = deployment.store, deployment.photo_urls(3)
    if deployment.wait(deployment.submit(urls))["status"] != "completed":
        raise SystemExit(f"the first job is not completed\n{deployment.logs()}")
    for _ in range(jobs):
        deployment.submit(urls)
    samples: list[Sample] = []
    begun = time.monotonic()
    ended = told = 0
    with suppress(KeyboardInterrupt):  # What was seen by then is said all the same.
        while ended < jobs and time.monotonic() < begun + seconds:
            time.sleep(_LOOK_SECONDS)
            deployment.service.keep_alive()
            ended = ended_jobs(store) - 1
            samples.append(look(deployment, ended))
            if ended >= told + _TELL_JOBS:
                told = ended
                total = sum(samples[-1].megabytes.values())
                print(f"{time.monotonic() - begun:5.0f} s: {ended} of {jobs} jobs, {total:.0f} MB in all", flush=True)
    return samples


def report(samples: Sequence[Sample]) -> Table:
    late = [sample for sample in samples if sample.ended >= samples[-1].ended / 2]
    table = Table("process", "MB in the middle", "MB at the end", "MB for 1,000 jobs")
    for name in sorted(late[-1].megabytes):
        first = next(sample.megabytes[name] for sample in late if name in sample.megabytes)
        table.add_row(name, f"{first:.1f}", f"{late[-1].megabytes[name]:.1f}", f"{slope(late, name):+.1f}")
    return table


def write(samples: Sequence[Sample], path: Path) -> None:
    names = sorted(samples[-1].megabytes)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["jobs", *names])
        rows.writerows(
            [sample.ended, *(f"{sample.megabytes.get(name, 0):.1f}" for name in names)] for sample in samples
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3600.0, help="give up after this time, and say what was seen")
    parser.add_argument("--table", type=Path, help="all samples, as CSV")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="memory-") as folder,
        deployed(Path(folder), cpu_workers=2, callback_schedule=("0",)) as deployment,
    ):
        samples = measure(deployment, options.jobs, options.seconds)
    Console().print(report(samples))
    if options.table:
        write(samples, options.table)


if __name__ == "__main__":
    main()
