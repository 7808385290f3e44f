"""Everything that a fault may touch, and the clock that goes on while one waits."""

from __future__ import annotations

import base64
import json
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
from kombu import Connection

from demo.servers import photo_server
from meshroom_tasks import topology
from meshroom_tasks.ports import free_port
from meshroom_tasks.settings import Settings, load_settings
from tests import scripted_engine
from tests.deployment import write_photos
from tests.faults.chaos import audit, plans
from tests.faults.chaos.customer import Customer
from tests.faults.chaos.fleet import Fleet
from tests.faults.chaos.plans import Plan
from tests.faults.chaos.receiver import Receiver
from tests.scripted_engine import Run
from tests.servers.half_open_proxy import HalfOpenProxy, half_open_proxy
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.seaweedfs import SeaweedFS

_LOOK_SECONDS = 0.1
_NAP_SECONDS = 0.05


@dataclass(frozen=True)
class Servers:
    rabbitmq: RabbitMQ
    postgres: PostgresServer
    seaweedfs: SeaweedFS


@dataclass
class World:
    folder: Path
    settings: Settings
    servers: Servers
    proxy: HalfOpenProxy
    fleet: Fleet
    receiver: Receiver
    customer: Customer
    waiting: list[Plan]
    """Jobs that are not sent yet."""
    ended_by: list[tuple[float, ExitStack]] = field(default_factory=list)
    """Faults that last, and when (monotonic) they are over."""
    _next_look: float = 0.0
    _extra_jobs: int = 0

    def tick(self) -> None:
        """What goes on all the time: the supervisor starts again what died, and faults come to their end."""
        assert not self.customer.complaints, self.customer.complaints
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self.fleet.keep_alive()
        for entry in [entry for entry in self.ended_by if entry[0] <= time.monotonic()]:
            self.ended_by.remove(entry)
            entry[1].close()
        time.sleep(_NAP_SECONDS)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.tick()
        return True

    def wait(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def send_next(self) -> None:
        """Another job; one more than planned when all are sent."""
        if self.waiting:
            self.customer.send(self.waiting.pop(0))
        else:
            self._extra_jobs += 1
            self.customer.send(plans.another(1000 + self._extra_jobs))

    def wait_for_work(self, seconds: float = 120.0) -> list[Run]:
        """Chunks that are being computed now; sends another job whenever there have been none for a while."""
        deadline = time.monotonic() + seconds
        patience = time.monotonic() + 2.0
        while not (running := self.running()):
            assert time.monotonic() < deadline, self.logs()
            if time.monotonic() > patience and self.customer.has_sent_all:
                patience = time.monotonic() + 10.0
                self.send_next()
            self.tick()
        return running

    def running(self) -> list[Run]:
        """Runs of the engine whose process is alive."""
        return [run for run in self.ledger() if run.ended is None and self.process_of(run) is not None]

    def process_of(self, run: Run) -> psutil.Process | None:
        try:
            process = psutil.Process(run.pid)
            if run.folder in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.Error:
            pass
        return None

    def ledger(self) -> list[Run]:
        return scripted_engine.read_ledger(self.folder / "ledger")

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the job database, which may be away for a while."""
        found: list[list[tuple[Any, ...]]] = []

        def answers() -> bool:
            try:
                with psycopg.connect(self.settings.database_url, connect_timeout=5) as connection:
                    found.append(connection.execute(statement.encode(), values).fetchall())
            except psycopg.OperationalError:
                return False
            return True

        assert self.until(answers, 120), "the database does not come back"
        return found[0]

    def logs(self, lines: int = 60) -> str:
        """The last lines of every process's log, without what the engine said."""
        parts = []
        for path in sorted((self.settings.data_dir / "logs").glob("*.log")):
            kept = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append(f"== {path.name}\n" + "\n".join(kept))
        return "\n".join(parts)

    @cached_property
    def environment(self) -> dict[str, str]:
        return self.settings.as_environment()


@contextmanager
def world(folder: Path, servers: Servers, random: Random, name: str, job_count: int) -> Iterator[World]:
    """A running service that has got no job yet; stopped at the end."""
    drawn = plans.draw(random, job_count)
    for part in ("photos", "pipelines"):
        (folder / part).mkdir(parents=True)
    (folder / "pipelines" / "default.mg").write_text(json.dumps(plans.TEMPLATE))
    (folder / "script.json").write_text(json.dumps(drawn.script))
    database_url = servers.postgres.new_database("template_of_a_service", lambda _: None)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with ExitStack() as stack:
        photo_host = stack.enter_context(photo_server(folder / "photos"))
        receiver = stack.enter_context(Receiver(secret).running())
        proxy = stack.enter_context(half_open_proxy(servers.rabbitmq.port))
        settings = load_settings(
            data_dir=folder / "data",
            port=free_port(),
            image_private_hosts=(photo_host,),
            callback_private_hosts=(receiver.host,),
            webhook_secret=secret,
            database_url=database_url,
            broker_url=servers.rabbitmq.url,
            pipelines_dir=folder / "pipelines",
            **servers.seaweedfs.settings(f"chaos-{name}/service"),
            **_engine_commands(folder),
            **_HASTE,
        )
        fleet = Fleet(settings, folder, servers.rabbitmq.url.replace(str(servers.rabbitmq.port), str(proxy.port)))

        def photos(plan: Plan) -> list[str]:
            return [
                f"http://{photo_host}/{n}" for n in write_photos(folder / "photos", plan.photo_count, plan.photo_set)
            ]

        customer = Customer(fleet.url, fleet.api_key, name, receiver.url, photos)
        stack.callback(fleet.stop)
        with Connection(servers.rabbitmq.url) as connection:
            list(topology.declare(connection))
        fleet.start()
        audit.install(database_url)
        made = World(folder, settings, servers, proxy, fleet, receiver, customer, list(drawn.jobs))
        assert fleet.wait_until_ready(), made.logs()
        stack.callback(customer.stop)
        customer.start()
        yield made


_HASTE: dict[str, Any] = {
    "lease_seconds": 10.0,
    "heartbeat_seconds": 0.5,
    "sweep_seconds": 0.5,
    "hint_seconds": 2.0,
    "worker_seen_seconds": 1.0,
    "broker_heartbeat_seconds": 4,
    "callback_connect_seconds": 3.0,
    "callback_total_seconds": 5.0,
    "callback_schedule": ("0", "1", *("2",) * 30),
}


def _engine_commands(folder: Path) -> dict[str, str]:
    told = ("env", f"SCRIPTED_ENGINE={folder / 'script.json'}", f"SCRIPTED_ENGINE_LEDGER={folder / 'ledger'}")
    batch, compute = scripted_engine.commands()
    return {"meshroom_batch": shlex.join([*told, *batch]), "meshroom_compute": shlex.join([*told, *compute])}
