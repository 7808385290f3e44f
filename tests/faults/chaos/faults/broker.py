"""What happens to RabbitMQ and to what is in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

from kombu import Connection

from meshroom_tasks.settings import PROJECT, python_path
from tests.faults.chaos.world import World

_UP_SECONDS = 120.0
_PURGES = 5
_FILLED_SECONDS = 60.0
_COMMAND_SECONDS = 60.0


@contextmanager
def restarted(world: World, random: Random) -> Iterator[str]:
    yield from _away(world, world.servers.rabbitmq.stop)


@contextmanager
def killed(world: World, random: Random) -> Iterator[str]:
    yield from _away(world, world.servers.rabbitmq.kill)


def _away(world: World, stop: Callable[[], None]) -> Iterator[str]:
    wait_until_up(world)
    world.wait_for_work()
    stop()
    assert not _answers(world)
    yield ""
    world.servers.rabbitmq.start()


@contextmanager
def purged(world: World, random: Random) -> Iterator[str]:
    """While the workers stand still for a moment, so that there is something to purge.

    What the broker tells of its queues is some seconds old, and a message may just have been taken: then once more.
    """
    wait_until_up(world)
    for _ in range(_PURGES):
        with _standing_still(world):
            world.send_next()
            assert world.until(lambda: bool(_filled(world)), _FILLED_SECONDS), world.logs()
            said = _purge(world)
        if said.startswith("Purged "):
            break
    assert said.startswith("Purged "), said
    yield said


def _purge(world: World) -> str:
    """What the command says at its end."""
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "meshroom_tasks", "purge", "-f"],
        cwd=PROJECT,
        env={**os.environ, "BROKER_URL": world.settings.broker_url, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@contextmanager
def _standing_still(world: World) -> Iterator[None]:
    """The workers' parent processes, which take the messages. What their pool processes do goes on."""
    parents = [child.process for child in world.fleet.children if child.ready_file is not None]
    for process in parents:
        if process is not None:
            process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in parents:
            if process is not None:
                process.send_signal(signal.SIGCONT)


def _filled(world: World) -> dict[str, int]:
    try:
        return world.servers.rabbitmq.filled_queues()
    except OSError:
        return {}  # It is on its way down or up.


@contextmanager
def connections_closed(world: World, random: Random) -> Iterator[str]:
    wait_until_up(world)
    world.wait_for_work()
    broker = world.servers.rabbitmq
    before = _connections(world)
    assert before
    if random.random() < 0.5:
        broker.control("close_all_connections", "a test")
        closed = before
    else:
        closed = random.sample(before, 1)
        broker.control("close_connection", closed[0], "a test")
    assert world.until(lambda: not set(closed) & set(_connections(world)), _COMMAND_SECONDS)
    yield f"{len(closed)} of {len(before)}"


def wait_until_up(world: World) -> None:
    assert world.until(lambda: _answers(world), _UP_SECONDS), "the broker does not come back"


def _connections(world: World) -> list[str]:
    return world.servers.rabbitmq.control("list_connections", "pid", "--no-table-headers").split()


def _answers(world: World) -> bool:
    try:
        with Connection(world.servers.rabbitmq.url, connect_timeout=3) as connection:
            connection.connect()
        return True
    except OSError:
        return False
