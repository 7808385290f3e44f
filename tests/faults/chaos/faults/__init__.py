"""The faults: each makes one thing go wrong and proves that it did. A generator's `yield` is the time that it lasts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from tests.faults.chaos.faults import broker, database, disk, names, network, object_store, processes
from tests.faults.chaos.world import World
from tests.machines import can_mount

Seconds = tuple[float, float]


@dataclass(frozen=True)
class Fault:
    """`begin` makes it happen, and yields what exactly that was; it is over after `lasts` seconds.

    `times`: how often in a run of full length. `quick`: fits into a short run too.
    """

    name: str
    begin: Callable[[World, Random], AbstractContextManager[str]]
    lasts: Seconds = (0.0, 0.0)
    times: int = 1
    quick: bool = False
    possible: Callable[[], bool] = lambda: True


FAULTS = (
    Fault("SIGKILL of a worker's parent process", processes.kill_worker, times=2, quick=True),
    Fault("SIGKILL of a worker's pool process", processes.kill_pool_process, times=2, quick=True),
    Fault("SIGKILL of an engine process", processes.kill_engine, times=2, quick=True),
    Fault("SIGKILL of the web app", processes.kill_web, quick=True),
    Fault("SIGKILL of the sweeper", processes.kill_sweeper, quick=True),
    Fault("broker restarted", broker.restarted, lasts=(0.5, 3.0)),
    Fault("SIGKILL of the broker", broker.killed, lasts=(0.5, 3.0), quick=True),
    Fault("`celery purge`", broker.purged, quick=True),
    Fault("broker closes connections", broker.connections_closed),
    Fault("half-open connection to the broker", network.half_open, lasts=(1.0, 4.0)),
    Fault("database restarted", database.restarted, lasts=(0.5, 8.0), quick=True),
    Fault("SIGKILL of the database", database.killed, lasts=(0.5, 8.0)),
    Fault("object store stopped for 20 s", object_store.stopped, lasts=(20.0, 20.0)),
    Fault("a worker whose workspace is full", disk.full_workspace, lasts=(6.0, 10.0), possible=can_mount),
    Fault("two workers of one name", names.twins, lasts=(4.0, 8.0)),
)


def schedule(random: Random, *, short: bool = False) -> list[Fault]:
    """The faults of one run, in the order that the seed decides."""
    drawn = [fault for fault in FAULTS if fault.possible() and (fault.quick or not short)]
    drawn = [fault for fault in drawn for _ in range(1 if short else fault.times)]
    random.shuffle(drawn)
    return drawn
