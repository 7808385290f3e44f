"""Many slow calls, a few at a time, that can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

from meshroom_tasks.errors import ServiceError

Stop = Callable[[], ServiceError | None]
"""Asked several times a second, always by the calling thread: the reason to stop, or None."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 4
_ASK_SECONDS = 0.2


def never_stop() -> None:
    return None


def completed(
    function: Callable[[Item], Result], items: Iterable[Item], stop: Stop, interrupt: Callable[[], None] = never_stop
) -> Generator[Result]:
    """The results of `function` for each item, as they come in.

    Raises what a call raises, or the reason of `stop`. However it ends, calls that have not begun are dropped, those
    that run are told by `interrupt`, and waited for.
    """
    pool = ThreadPoolExecutor(_THREADS)
    try:
        waiting = {pool.submit(function, item) for item in items}
        while waiting:
            done, waiting = wait(waiting, timeout=_ASK_SECONDS, return_when=FIRST_COMPLETED)
            if (reason := stop()) is not None:
                raise reason
            for future in done:
                yield future.result()
    finally:
        interrupt()
        pool.shutdown(wait=True, cancel_futures=True)
