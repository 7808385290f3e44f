"""Results to this disk: a download that breaks off goes on where it stopped, and is compared with its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from meshroom_tasks.client.answers import Result
from meshroom_tasks.client.connection import Connection, retried
from meshroom_tasks.client.errors import DownloadDamaged

_PIECE = 1 << 20
_TRIES = 2

Received = Callable[[int], None]
"""Told how many bytes more have come."""


def download_result(connection: Connection, result: Result, folder: Path, received: Received = lambda _: None) -> Path:
    """The file in `folder`; not fetched again where it is there already with these bytes.

    Raises RequestProblem, ServiceUnreachable, DownloadDamaged, OSError.
    """
    target = folder / Path(result.name).name  # A name is no path, whoever answers.
    if _is(target, result):
        received(result.size)
        return target
    part = target.with_name(f".{target.name}.part")
    for _ in range(_TRIES):
        retried(lambda: _fetch(connection, result, part, received))
        if _is(part, result):
            return part.rename(target)
        part.unlink()
    raise DownloadDamaged(f"{result.name} came with other bytes than announced; try again, and tell the operator")


def _fetch(connection: Connection, result: Result, part: Path, received: Received) -> None:
    there = part.stat().st_size if part.exists() else 0
    if there >= result.size:
        return
    headers = {"Range": f"bytes={there}-"} if there else {}
    with connection.stream("GET", result.url, headers=headers) as answer:
        mode = "ab" if answer.status_code == 206 else "wb"
        with part.open(mode) as file:
            for piece in answer.iter_content(_PIECE):
                file.write(piece)
                received(len(piece))


def _is(path: Path, result: Result) -> bool:
    if not path.is_file() or path.stat().st_size != result.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == result.sha256
