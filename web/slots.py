"""Requests that last hold threads of the web app: how many there may be at a time, in all and of one tenant."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from flask import Response
from werkzeug.wsgi import ClosingIterator

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.retry_policies import NEVER


class TooManyAtOnce(ServiceError):
    code = "too_many_at_once"
    retry = NEVER
    http_status = 503


def until_closed(response: Response, give_back: Callable[[], None]) -> Response:
    """Give the slot back when the response has been sent, or its client has gone.

    `call_on_close` would not do: werkzeug forgets it where a response passes its content through.
    """
    response.response = ClosingIterator(cast(Iterable[bytes], response.response), give_back)
    return response


class Slots:
    """`most` in one process, `most_of_one` for everyone of them."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._taken: Counter[str] = Counter()
        self._lock = threading.Condition()

    def take(self, who: str, *, patience: float = 0.0) -> Callable[[], None] | None:
        """What gives the slot back, once, however often it is called; None where none came in so many seconds."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._has_one_for(who), patience):
                return None
            self._taken[who] += 1
        left = [who]

        def give_back() -> None:
            with self._lock:
                if left:
                    self._taken[left.pop()] -= 1
                    self._taken += Counter()  # Forgets those who have none.
                    self._lock.notify_all()

        return give_back

    def _has_one_for(self, who: str) -> bool:
        return self._taken.total() < self._most and self._taken[who] < self._most_of_one

    @contextmanager
    def slot(self, who: str) -> Iterator[None]:
        """Raises TooManyAtOnce."""
        give_back = self.take(who)
        if give_back is None:
            raise TooManyAtOnce("too many of your requests are on their way at once; send this one again soon")
        try:
            yield
        finally:
            give_back()
