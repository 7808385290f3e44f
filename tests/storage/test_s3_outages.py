"""A server that goes away in the middle: the call survives within its patience, or fails with a typed error."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshroom_tasks.errors import StorageUnavailable
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import Storage, open_storage
from tests.servers.seaweedfs import SeaweedFS, running_seaweedfs

SIZE = 40_000_000
PATIENCE = 200
IN_TIME = 60
"""Seconds. Far more than the patience of those that shall give up, and less than that of the others."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with running_seaweedfs(tmp_path_factory.mktemp("outages")) as server:
        yield server


@pytest.fixture
def storage(server: SeaweedFS) -> Storage:
    storage = open_storage(load_settings(**server.settings("outages")), patience=PATIENCE)
    storage.check()
    return storage


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("content") / "in"
    path.write_bytes(os.urandom(SIZE))
    return path


def _freeze(server: SeaweedFS) -> None:
    server.freeze()
    time.sleep(3)
    server.thaw()


def _kill(server: SeaweedFS) -> None:
    server.kill()
    time.sleep(2)
    server.start()


class Midway:
    """A `progress` that starts an outage in another thread once a quarter has moved, and waits until it has begun."""

    def __init__(self, outage: Callable[[], None]) -> None:
        self._moved = 0
        self._thread = threading.Thread(target=outage)

    def __call__(self, count: int) -> None:
        before, self._moved = self._moved, self._moved + count
        if before < SIZE // 4 <= self._moved:
            self._thread.start()
            time.sleep(0.5)

    def over(self) -> int:
        self._thread.join(PATIENCE)
        return self._moved


@pytest.mark.slow
@pytest.mark.parametrize("outage", [_freeze, _kill])
def test_a_transfer_survives_it(
    server: SeaweedFS, storage: Storage, content: Path, tmp_path: Path, outage: Callable[[SeaweedFS], None]
) -> None:
    up = Midway(lambda: outage(server))
    assert storage.put_file("k", content, progress=up)
    assert up.over() == SIZE
    down = Midway(lambda: outage(server))
    storage.get_file("k", tmp_path / "out", progress=down)
    assert down.over() == SIZE
    assert (tmp_path / "out").read_bytes() == content.read_bytes()
    assert storage.remove_abandoned(older_than_seconds=-60) == 0


@pytest.mark.slow
def test_what_outlasts_the_patience_fails_in_time_and_with_a_sentence(
    server: SeaweedFS, storage: Storage, content: Path, tmp_path: Path
) -> None:
    storage.put_file("k", content)
    impatient = open_storage(load_settings(**server.settings("outages")), patience=1.0)
    stream = impatient.open("k")
    calls: tuple[Callable[[], object], ...] = (
        lambda: impatient.put_bytes("x", b""),
        lambda: impatient.put_file("x", content),
        lambda: impatient.get_bytes("k"),
        lambda: impatient.get_file("k", tmp_path / "out"),
        lambda: impatient.stat("k"),
        lambda: list(impatient.list()),
        lambda: impatient.delete("k"),
        lambda: impatient.delete_prefix("k"),
        lambda: impatient.remove_abandoned(older_than_seconds=0),
        impatient.check,
        stream.read,
    )

    def seconds_to_fail(call: Callable[[], object]) -> float:
        before = time.monotonic()
        with pytest.raises(StorageUnavailable, match=r"does not answer.*AWS_ENDPOINT_URL"):
            call()
        return time.monotonic() - before

    server.kill()
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            assert max(pool.map(seconds_to_fail, calls)) < IN_TIME
        assert list(tmp_path.iterdir()) == []
    finally:
        server.start()
    assert impatient.stat("x") is None
    assert impatient.put_bytes("x", b"again")


@pytest.mark.slow
def test_a_server_that_hangs_is_not_waited_for_by_a_probe(server: SeaweedFS, storage: Storage) -> None:
    storage.check()
    server.freeze()
    try:
        before = time.monotonic()
        with pytest.raises(StorageUnavailable, match="does not answer"):
            storage.check()
        assert time.monotonic() - before < IN_TIME
    finally:
        server.thaw()
    storage.check()
