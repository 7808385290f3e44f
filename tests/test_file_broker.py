"""The file broker between processes: no message is seen half-written, lost, or taken twice."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from meshroom_tasks import file_broker
from tests.waiting import LONG

WRITERS, READERS, MESSAGES = 3, 3, 100


def connect(folder: Path) -> Connection:
    file_broker.install()
    messages = folder / "messages"
    messages.mkdir(parents=True, exist_ok=True)
    options = {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(folder / "control"),
    }
    return Connection("filesystem://", transport_options=options)


def queue(name: str = "q") -> Queue:
    return Queue(name, Exchange("x", type="topic"), routing_key=name)


def write(folder: Path, writer: int) -> None:
    with connect(folder) as connection:
        producer = connection.Producer()
        for number in range(MESSAGES):
            body = {"id": f"{writer}-{number}", "filler": "x" * 50_000}
            producer.publish(body, exchange=queue().exchange, routing_key="q", declare=[queue()])


def read(folder: Path, seen: Any, enough: Any) -> None:
    with connect(folder) as connection:
        source = connection.SimpleQueue(queue(), no_ack=True)
        while True:
            last = enough.is_set()
            try:
                seen.put(source.get(timeout=1).payload["id"])
            except source.Empty:
                if last:
                    return


def test_every_message_is_read_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    seen, enough = context.Queue(), context.Event()
    processes = [context.Process(target=write, args=(tmp_path, number)) for number in range(WRITERS)]
    processes += [context.Process(target=read, args=(tmp_path, seen, enough)) for _ in range(READERS)]
    for process in processes:
        process.start()
    ids = Counter(seen.get(timeout=LONG) for _ in range(WRITERS * MESSAGES))
    enough.set()
    for process in processes:
        process.join(LONG)
    assert [process.exitcode for process in processes] == [0] * len(processes)
    assert set(ids.values()) == {1}
    assert len(ids) == WRITERS * MESSAGES
    assert seen.empty()


def test_a_message_is_waited_for_until_the_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_broker, "_ending", threading.Event())
    with connect(tmp_path) as connection:
        got: list[object] = []
        consumer = connection.Consumer(queue(), callbacks=[lambda body, message: got.append(body)], no_ack=True)
        with consumer:
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.5)
            connection.Producer().publish({"id": 1}, exchange=queue().exchange, routing_key="q")
            connection.drain_events(timeout=LONG)
            assert got == [{"id": 1}]
            threading.Timer(0.3, file_broker.stop_waiting).start()
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=100 * LONG)


def bind(folder: Path, name: str) -> None:
    with connect(folder) as connection:
        queue(name)(connection.default_channel).declare()


def test_processes_that_bind_together_lose_no_binding(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    names = [f"queue{number}" for number in range(8)]
    processes = [context.Process(target=bind, args=(tmp_path, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LONG)
    with connect(tmp_path) as connection:
        table = connection.default_channel.get_table("x")
    assert sorted(binding.queue for binding in table) == names


def test_queues_of_watchers_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    watcher, work = "celeryev.0123", "cpu"
    bind(tmp_path, watcher)
    bind(tmp_path, work)
    with connect(tmp_path) as connection:
        for name in (watcher, work):
            connection.Producer().publish({"id": name}, exchange=queue().exchange, routing_key=name)
        time.sleep(0.01)
        file_broker.forget_event_queues(tmp_path / "messages", tmp_path / "control")
        assert [binding.queue for binding in connection.default_channel.get_table("x")] == [work]
    assert [path.name.partition(".")[2] for path in (tmp_path / "messages").iterdir()] == [f"{work}.msg"]
