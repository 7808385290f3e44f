"""A cable that is cut: neither side hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from tests.faults.chaos.faults.broker import wait_until_up
from tests.faults.chaos.world import World

_CONNECTED_SECONDS = 90.0
_NOTICED_SECONDS = 180.0


@contextmanager
def half_open(world: World, random: Random) -> Iterator[str]:
    """All connections of node `b` to the broker fall silent, and stay so; it has to notice and make new ones."""
    wait_until_up(world)
    world.wait_for_work()
    assert world.until(lambda: world.proxy.open_connections > 0, _CONNECTED_SECONDS), world.logs()
    before = world.proxy.accepted
    silent = world.proxy.silence()
    assert silent
    yield f"{silent} connections"
    assert world.until(lambda: world.proxy.accepted > before, _NOTICED_SECONDS), world.logs()
    assert world.proxy.swallowed
