"""The `filesystem://` broker made safe for several processes: kombu's transport with atomic writes.

Kombu's own shows a message to its readers before it is written, so that one is lost now and then and its reader
reconnects; and it rewrites the table of bindings in place. Here a message appears whole, by a rename, and belongs to
whoever renames it away; the table is replaced as a whole under a lock. A message lost with a killed worker is still
lost: the job store, not the broker, is the truth.

A worker that ends is not held up by the two times two seconds that Celery waits for a message meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.transport.filesystem import exchange_queue_t

_SUFFIX = ".msg"
_LOOK_SECONDS = 0.2
_EVENTS = "celeryev."

Binding = Any


class Channel(filesystem.Channel):
    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        folder = Path(self.data_folder_out)
        name = f"{time.monotonic_ns():020d}_{uuid.uuid4().hex}"
        part = folder / f".{name}.part"
        part.write_text(json.dumps(payload))
        part.rename(folder / f"{name}.{queue}{_SUFFIX}")

    def _get(self, queue: str) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(_messages(folder, queue)):
            mine = folder / f".{name}.{os.getpid()}.taken"
            try:
                (folder / name).rename(mine)
            except FileNotFoundError:  # Another process was faster.
                continue
            payload = json.loads(mine.read_text())
            mine.unlink()
            return payload
        raise Empty

    def get_table(self, exchange: str) -> list[Binding]:
        try:
            return [exchange_queue_t(*row) for row in json.loads(self._exchange_file(exchange).read_text())]
        except FileNotFoundError:
            return []

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str | None) -> None:
        binding = exchange_queue_t(routing_key or "", pattern or "", queue or "")
        self._change(exchange, lambda table: table if binding in table else [binding, *table])

    def _delete(self, queue: str, exchange: str, routing_key: str, pattern: str, *_: Any, **__: Any) -> None:
        self._purge(queue)
        self._change(exchange, lambda table: [binding for binding in table if binding.queue != queue])

    def _change(self, exchange: str, change: Callable[[list[Binding]], list[Binding]]) -> None:
        file = Path(self._exchange_file(exchange))
        with _locked(file.parent):
            _replace(file, change(self.get_table(exchange)))


class Transport(filesystem.Transport):
    Channel = Channel
    # What is declared and bound is kept for all channels of a process.
    global_state = filesystem.virtual.BrokerState()

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Deliver one message; TimeoutError when none has come in time, or when nobody is to wait any more."""
        until = time.monotonic() + timeout if timeout is not None else math.inf
        while True:
            try:
                super().drain_events(connection, min(_LOOK_SECONDS, max(0.0, until - time.monotonic())))
                return
            except TimeoutError:
                if _ending.is_set() or time.monotonic() >= until:
                    raise


_ending = threading.Event()


def stop_waiting() -> None:
    """This process ends: from now on it waits for no message."""
    _ending.set()


def install() -> None:
    """Let `filesystem://` mean this transport in this process."""
    TRANSPORT_ALIASES["filesystem"] = f"{__name__}:Transport"


def forget_event_queues(messages: Path, control: Path) -> None:
    """Remove the queues of event watchers that are gone: nobody empties them, and every event fills them all."""
    if control.is_dir():
        with _locked(control):
            for file in control.glob("*.exchange"):
                table = json.loads(file.read_text())
                kept = [row for row in table if not row[2].startswith(_EVENTS)]
                if kept != table:
                    _replace(file, kept)
    for path in messages.glob(f"*.{_EVENTS}*{_SUFFIX}"):
        path.unlink(missing_ok=True)


def _messages(folder: Path, queue: str) -> Iterator[str]:
    wanted = f"{queue}{_SUFFIX}"
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.partition(".")[2] == wanted:
                yield entry.name


def _replace(file: Path, table: list[Binding]) -> None:
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    part.write_text(json.dumps(table))
    part.replace(file)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
