"""A machine whose disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from tests.faults.chaos.world import World

_START_SECONDS = 90.0


@contextmanager
def full_workspace(world: World, random: Random) -> Iterator[str]:
    """For a while there is a worker that can write nothing; it may take chunks, or refuse to."""
    world.wait_for_work()
    child = world.fleet.on_a_full_disk()
    assert child.process is not None
    assert child.ready_file is not None
    ready = child.ready_file
    assert world.until(lambda: ready.exists() or child.refusal is not None, _START_SECONDS), world.logs()
    if child.refusal is None:
        seen = os.statvfs(f"/proc/{child.process.pid}/root{world.settings.workspace}")
        assert seen.f_bavail == 0, "its workspace is not full"
    yield "it refused" if child.refusal is not None else "it took chunks"
    world.fleet.dismiss(child, kill=random.random() < 0.5)
