"""One run: jobs come in, faults happen in the order and at the times that the seed decides, and everything ends."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from tests.faults.chaos.faults import Fault, schedule
from tests.faults.chaos.faults.broker import wait_until_up
from tests.faults.chaos.world import World

_PAUSE = (0.2, 2.0)
_FIRST_JOBS = 0.3
"""Share of the jobs that is there before the first fault."""
_END_SECONDS = 600.0


@dataclass(frozen=True)
class Happened:
    """A fault that took place. `at`: seconds since 1970."""

    fault: Fault
    at: float
    detail: str


def survive(world: World, random: Random, *, short: bool) -> list[Happened]:
    """All faults, until each job has ended and its callback was taken. What happened, in order."""
    faults = schedule(random, short=short)
    jobs = len(world.waiting)
    happened = []
    try:
        for number, fault in enumerate(faults):
            expected = jobs * (_FIRST_JOBS + (1 - _FIRST_JOBS) * number / len(faults))
            while world.waiting and jobs - len(world.waiting) < expected:
                world.send_next()
            world.wait(random.uniform(*_PAUSE))
            happened.append(_begin(world, fault, Random(random.random())))
            print(f"{time.strftime('%H:%M:%S')} {fault.name} {happened[-1].detail}", flush=True)
    finally:
        for _, lasting in (rest := world.ended_by):
            lasting.close()
        rest.clear()
    while world.waiting:
        world.send_next()
    wait_until_up(world)
    assert world.until(lambda: _all_ended(world), _END_SECONDS), f"{_unfinished(world)}\n{world.logs()}"
    return happened


def _begin(world: World, fault: Fault, random: Random) -> Happened:
    seconds = random.uniform(*fault.lasts)
    lasting = ExitStack()
    detail = lasting.enter_context(fault.begin(world, random))
    at = time.time()
    if seconds:
        world.ended_by.append((time.monotonic() + seconds, lasting))
    else:
        lasting.close()
    return Happened(fault, at, detail)


def _all_ended(world: World) -> bool:
    if not world.customer.has_sent_all or world.customer.to_cancel:
        return False
    world.wait(0.5)
    return not _unfinished(world)


def _unfinished(world: World) -> list[object]:
    jobs = world.query("select 'job', id, status from job where status not in ('completed', 'failed', 'cancelled')")
    deliveries = world.query("select 'delivery', job_id, status from delivery where status = 'pending'")
    return [*jobs, *deliveries]
