"""Random faults on the whole service: RabbitMQ, PostgreSQL, SeaweedFS, five seeds. See chaos/."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.chaos import audit, checks
from tests.faults.chaos.faults import FAULTS
from tests.faults.chaos.run import survive
from tests.faults.chaos.table import Cost, costs, table
from tests.faults.chaos.world import Servers, world
from tests.machines import can_mount
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.seaweedfs import running_seaweedfs

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1000)]

SEEDS = (1, 2, 3, 4, 5)
JOBS = 20
SHORT_JOBS = 5


@pytest.fixture(scope="module")
def servers(
    rabbitmq: RabbitMQ, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    with running_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as seaweedfs:
        yield Servers(rabbitmq, postgres, seaweedfs)


@pytest.fixture(scope="module")
def survived_so_far() -> Iterator[list[Cost]]:
    """The costs of all seeds, printed as one table when the last one is through."""
    found: list[Cost] = []
    yield found
    print(f"\nall seeds\n{table(found)}", flush=True)


def survived(folder: Path, servers: Servers, seed: int, jobs: int, *, short: bool) -> list[Cost]:
    """Run the seed and check everything; what each fault cost."""
    print(f"\nseed {seed}, {jobs} jobs, in {folder}", flush=True)
    random, begun = Random(seed), time.monotonic()
    with world(folder, servers, random, f"{'short' if short else 'seed'}-{seed}", jobs) as made:
        happened = survive(made, random, short=short)
        checks.workers_are_back(made)
        checks.no_engine_is_left(made)
        moves = audit.moves(made.settings.database_url)
        checks.every_job_has_ended_as_it_should(made)
        checks.each_chunk_was_finished_once(made, moves)
        checks.no_chunk_was_computed_twice_at_once(made, moves)
        checks.every_ending_was_told_once(made)
        checks.no_failure_was_a_mystery(moves)
        checks.no_bundle_is_left_half_done(made)
        checks.a_repair_removes_what_is_left_over(made)
        checks.workspaces_are_clean(made)
        found = costs(happened, moves, made.ledger())
    checks.no_process_is_left(made)
    print(f"seed {seed}: {len(made.customer.jobs)} jobs, {len(happened)} faults, {time.monotonic() - begun:.0f} s")
    print(table(found), flush=True)
    return found


def test_a_few_jobs_survive_a_few_faults(servers: Servers, tmp_path: Path) -> None:
    survived(tmp_path, servers, 0, SHORT_JOBS, short=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_many_jobs_survive_all_faults(servers: Servers, survived_so_far: list[Cost], tmp_path: Path, seed: int) -> None:
    found = survived(tmp_path, servers, seed, JOBS, short=False)
    survived_so_far += found
    impossible = {fault.name for fault in FAULTS if not fault.possible()}
    assert {cost.fault for cost in found} | impossible == {fault.name for fault in FAULTS}
    if not can_mount():
        pytest.skip(f"survived all but what needs root to mount a file system: {', '.join(impossible)}")
