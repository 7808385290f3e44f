"""SIGKILL of one process of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import psutil

from meshroom_tasks.child_processes import Child
from tests.faults.chaos.world import World
from tests.scripted_engine import Run

_GONE_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0


@contextmanager
def kill_worker(world: World, random: Random) -> Iterator[str]:
    run = random.choice(world.wait_for_work())
    child = random.choice([*world.fleet.stage_workers, _holder(world, run), world.fleet.child("light")])
    process = _process(world, child)
    started = process.create_time()
    _kill(process)
    yield child.name
    assert _process(world, child).create_time() != started


@contextmanager
def kill_pool_process(world: World, random: Random) -> Iterator[str]:
    """One that holds a running chunk, or any of those that fetch photos, publish results and send callbacks."""
    run = random.choice(world.wait_for_work())
    light = _process(world, world.fleet.child("light")).children()
    holder = _pool_process(world, run)
    process = random.choice([*light, *([holder] * len(light) if holder is not None else [])])
    _kill(process)
    yield str(process.pid)


@contextmanager
def kill_engine(world: World, random: Random) -> Iterator[str]:
    """That of a step which has not been tried before: killed from outside twice, an engine fails its job."""
    found: list[Run] = []

    def killed() -> bool:
        for run in random.sample(running := world.wait_for_work(), len(running)):
            token = run.folder.rpartition("/")[2]
            first = world.query("select 1 from step where token = %s and attempts = 1", token)
            process = world.process_of(run)
            if first and process is not None:
                _kill(process)
                found.append(run)
                return True
        return False

    assert world.until(killed, _PATIENCE_SECONDS), world.logs()
    yield f"{found[0].node_type} {found[0].chunk}"


@contextmanager
def kill_web(world: World, random: Random) -> Iterator[str]:
    world.wait_for_work()
    process = _process(world, world.fleet.child("web"))
    chosen = random.choice([process, *process.children()])
    _kill(chosen)
    yield "the arbiter" if chosen == process else "its worker"


@contextmanager
def kill_sweeper(world: World, random: Random) -> Iterator[str]:
    world.wait_for_work()
    _kill(_process(world, world.fleet.child("sweeper")))
    yield ""


def _process(world: World, child: Child) -> psutil.Process:
    """The child's process, once it lives."""
    assert world.until(lambda: child.process is not None and child.process.poll() is None, _PATIENCE_SECONDS)
    assert child.process is not None
    return psutil.Process(child.process.pid)


def _holder(world: World, run: Run) -> Child:
    """The worker that a run belongs to; any when it has just ended."""
    engine = world.process_of(run)
    try:
        above = {parent.pid for parent in engine.parents()} if engine is not None else set()
    except psutil.Error:
        above = set()
    workers = world.fleet.stage_workers
    return next((child for child in workers if child.process is not None and child.process.pid in above), workers[0])


def _pool_process(world: World, run: Run) -> psutil.Process | None:
    """The pool process that a run belongs to; None when it has just ended."""
    parent = _process(world, _holder(world, run)).pid
    engine = world.process_of(run)
    try:
        return next((above for above in engine.parents() if above.ppid() == parent), None) if engine else None
    except psutil.Error:
        return None


def _kill(process: psutil.Process) -> None:
    process.kill()
    gone, _ = psutil.wait_procs([process], _GONE_SECONDS)
    assert gone, f"{process} outlived SIGKILL"
