"""Two workers that take themselves for the same one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from tests.faults.chaos.faults.broker import wait_until_up
from tests.faults.chaos.world import World

_START_SECONDS = 90.0


@contextmanager
def twins(world: World, random: Random) -> Iterator[str]:
    wait_until_up(world)
    world.wait_for_work()
    twin = world.fleet.twin_of_a()
    first = world.fleet.child("a")
    assert twin.ready_file is not None
    assert first.ready_file is not None
    ready = (twin.ready_file, first.ready_file)
    assert world.until(lambda: all(file.exists() for file in ready), _START_SECONDS), world.logs()
    yield ""
    assert twin.process is not None
    assert twin.process.poll() is None, "the second of the name did not live beside the first"
    world.fleet.dismiss(twin, kill=random.random() < 0.5)
