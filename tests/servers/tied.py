"""Processes that end with the tests, also when those are killed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

# The kernel sends the signal when the thread ends that started the process; this one lasts as long as the tests.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


def start(
    command: Sequence[str], *, signal: str = "KILL", user: str | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """As `Popen`, as that user; the process gets `signal` when this one ends, however that happens."""
    become = ["--reuid", user, "--clear-groups"] if user is not None else []
    tied = ["setpriv", *become, "--pdeathsig", signal, *command]
    return _starter.submit(partial(subprocess.Popen, tied, **options)).result()
