"""What happens to the object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from botocore.exceptions import BotoCoreError

from tests.faults.chaos.world import World


@contextmanager
def stopped(world: World, random: Random) -> Iterator[str]:
    world.wait_for_work()
    store = world.servers.seaweedfs
    store.stop()
    try:
        store.client().list_buckets()
        raise AssertionError("the object store still answers")
    except BotoCoreError:
        pass
    yield ""
    store.start()
