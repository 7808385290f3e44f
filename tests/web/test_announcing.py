from __future__ import annotations

import threading

from web.announcing import Announcer


def test_nobody_waits_and_the_last_call_is_heeded() -> None:
    sending, go_on, sent = threading.Event(), threading.Event(), threading.Semaphore(0)

    def send(most: int) -> int:
        sending.set()
        go_on.wait()
        sent.release()
        return 0

    announce = Announcer(send)
    announce()
    sending.wait()
    announce()  # Returns while the first is still being sent.
    go_on.set()
    assert sent.acquire(timeout=60)
    assert sent.acquire(timeout=60)


def test_what_is_left_over_is_sent_without_being_asked() -> None:
    waiting, done = 120, threading.Event()

    def send(most: int) -> int:
        nonlocal waiting
        count = min(most, waiting)
        waiting -= count
        if not waiting:
            done.set()
        return count

    Announcer(send)()
    assert done.wait(60)
