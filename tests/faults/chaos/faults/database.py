"""What happens to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random

import psycopg

from tests.faults.chaos.world import World


@contextmanager
def restarted(world: World, random: Random) -> Iterator[str]:
    yield from _away(world, partial(world.servers.postgres.stop, immediately=random.random() < 0.5))


@contextmanager
def killed(world: World, random: Random) -> Iterator[str]:
    yield from _away(world, world.servers.postgres.kill)


def _away(world: World, stop: Callable[[], None]) -> Iterator[str]:
    world.wait_for_work()
    ((before,),) = world.query("select pg_postmaster_start_time()")
    stop()
    try:
        psycopg.connect(world.settings.database_url, connect_timeout=3).close()
        raise AssertionError("the database still answers")
    except psycopg.OperationalError:
        pass
    yield ""
    world.servers.postgres.start()
    ((after,),) = world.query("select pg_postmaster_start_time()")
    assert after > before
