"""What a worker does before it takes its first task, how it says that it takes tasks now, and how it ends."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from celery import signals

from meshroom_tasks import file_broker
from meshroom_tasks.child_processes import EXIT_REFUSED, READY_FILE, refusal_file, say_not_ready, say_ready
from meshroom_tasks.draining import Ending, Intake
from meshroom_tasks.engine import kill_leftovers
from meshroom_tasks.errors import DatabaseUnavailable, SchemaOutdated, ServiceError
from meshroom_tasks.housekeeping import keep_house
from meshroom_tasks.jobs.store import open_database
from meshroom_tasks.jobs.workers import WorkerFacts
from meshroom_tasks.logs import configure_logging, logger
from meshroom_tasks.preflight import Equipment, Unfit, equipment
from meshroom_tasks.presence import Presence, connected
from meshroom_tasks.service import Service
from meshroom_tasks.settings import Settings, current_settings

log = logger(__name__)

_CLOSE_SECONDS = 10.0


class _Parent:
    """The parent process of the pool: what it knows of itself."""

    facts: WorkerFacts


@signals.worker_init.connect
def prepare(sender: Any, **_: Any) -> None:
    """Refuse a machine that lacks what the tasks need; clear away what killed workers have left.

    A refusal ends the process with EXIT_REFUSED: an idle worker would look well to whoever counts processes, and what
    is missing, such as a driver, seldom comes without a restart. The reason is the last line of the log, stands beside
    the ready file, and in the worker's row.
    """
    settings = current_settings()
    configure_logging(settings.log_level, settings.log_format)  # Celery does so only after this.
    queues = tuple(queue.routing_key for queue in sender.app.amqp.queues.consume_from.values())
    _Parent.facts = WorkerFacts(sender.hostname, socket.gethostname(), os.getpid(), queues, sender.concurrency)
    _check_database(settings)
    service = Service(settings)
    try:
        found = equipment(queues, settings, service.engine)
    except Unfit as unfit:
        _refuse(str(unfit), _Parent.facts)
    _Parent.facts = _with(found)
    _clear_away(service)


@signals.worker_process_init.connect
def follow_a_killed_one(**_: Any) -> None:
    """A new pool process often takes the place of one that was killed, whose folders are still there.

    In a thread: Celery gives up a process that is not up within seconds.
    """

    def clear_away() -> None:
        try:
            _clear_away(Service(current_settings()))
        except Exception:
            log.exception("what a killed process has left could not be cleared away")

    threading.Thread(target=clear_away, name="clear-away", daemon=True).start()


def _clear_away(service: Service) -> None:
    killed, removed = kill_leftovers(), service.room.clear_away()
    if killed or removed:
        log.warning("cleared away what killed workers had left", processes=killed, folders=removed)


def _check_database(settings: Settings) -> None:
    """Refuse to run on a schema that is not this version's. A server that is away now may come back."""
    database = open_database(settings)
    try:
        if not database.is_sqlite:
            database.require_current()
    except SchemaOutdated as error:
        _refuse(error.message)
    except DatabaseUnavailable as error:
        log.warning("starting without the database", error=error.message, cause=str(error.__cause__))
    finally:
        database.engine.dispose()  # The pool's processes must not inherit a connection.


@signals.worker_ready.connect
def take_tasks(sender: Any, **_: Any) -> None:
    settings = current_settings()
    intake = Intake(sender)

    def facts() -> WorkerFacts:
        return replace(_Parent.facts, stopping=ending.has_begun)

    def heed(drain: bool) -> None:
        if ending.has_begun or drain is drained[0]:
            return
        log.info("drained: takes nothing new" if drain else "takes tasks again")
        drained[0] = drain
        if drain:
            intake.close(_CLOSE_SECONDS)  # Only then is it true that it is not ready.
            say_not_ready()
        else:
            intake.reopen()
            say_ready()

    def begun() -> None:
        say_not_ready()
        presence.tell_now()

    drained = [False]
    presence = Presence(settings, facts, heed)
    ending = Ending(intake, settings.drain_seconds, begun)
    ending.install()
    presence.start()
    keep_house(settings, Service(settings).room)
    say_ready()


@signals.worker_shutting_down.connect
def stop_taking_tasks(**_: Any) -> None:
    say_not_ready()
    file_broker.stop_waiting()


def _refuse(reason: str, facts: WorkerFacts | None = None) -> NoReturn:
    """`facts` are those for the worker's row; None where there can be no row."""
    if facts is not None:
        with suppress(ServiceError), connected(current_settings()) as store:
            store.worker_started(replace(facts, refusal=reason))
    if (name := os.environ.get(READY_FILE)) is not None:
        refusal_file(Path(name)).write_text(reason + "\n")
    log.critical("this worker takes no tasks", reason=reason)
    raise SystemExit(EXIT_REFUSED)


def _with(found: Equipment) -> WorkerFacts:
    gpu = found.gpu
    return replace(
        _Parent.facts,
        engine=found.engine,
        gpu_uuid=gpu.uuid if gpu else None,
        gpu_name=gpu.name if gpu else None,
        gpu_memory_bytes=gpu.memory_bytes if gpu else None,
    )
