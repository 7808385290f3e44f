"""A small process that forks the wardens of one worker process: a start of Python costs more than a warden does.

    python -I -S meshroom_tasks/engine/guard

Standard input is a stream socket. A request is the length of its body (8 bytes, big endian) with three descriptors
beside it, then the body: a JSON object with `command`, `environment`, `folder` and `output`. The descriptors become the
warden's standard input, output and error output; what is said over them is in warden.py. Where no process can be made,
the output says so: `unforked`, and why.

It ends when its input ends. Its wardens see their own inputs end then, and are told to end by the kernel besides.
Standard library only; one thread, so that forking it is safe.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys

import warden

_STANDARD = (0, 1, 2)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    requests = socket.socket(fileno=os.dup(0))
    while True:
        ready, _, _ = select.select([requests.fileno(), reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
            _reap()
        if requests.fileno() in ready:
            request = _receive(requests)
            if request is None:
                return
            _fork_warden(*request, close=(requests.fileno(), reading, writing))


def _receive(requests: socket.socket) -> tuple[bytes, list[int]] | None:
    """The body of the next request and its descriptors; None at the end of the input."""
    header, descriptors, _, _ = socket.recv_fds(requests, warden.LENGTH_BYTES, len(_STANDARD), socket.MSG_WAITALL)
    if len(header) < warden.LENGTH_BYTES or len(descriptors) < len(_STANDARD):
        return None
    length = int.from_bytes(header, "big")
    body = bytearray()
    while len(body) < length:
        block = requests.recv(length - len(body))
        if not block:
            return None
        body += block
    return bytes(body), descriptors


def _fork_warden(body: bytes, descriptors: list[int], close: tuple[int, ...]) -> None:
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError as error:
        os.write(descriptors[1], repr({"unforked": error.strerror}).encode() + b"\n")
        child = -1
    if child == 0:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for target, descriptor in zip(_STANDARD, descriptors, strict=True):
                os.dup2(descriptor, target)
            for descriptor in (*descriptors, *close):
                os.close(descriptor)
            code = warden.main(parent, **json.loads(body))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)
    for descriptor in descriptors:
        os.close(descriptor)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main()
