"""The wardens of this worker process, seen from here: forked on request, told how long they may go on, listened to."""

from __future__ import annotations

import ast
import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshroom_tasks.engine import markers
from meshroom_tasks.engine.guard.warden import LENGTH_BYTES
from meshroom_tasks.errors import EngineError

STOP_SECONDS = 20.0
"""How long a warden may take to end all processes before it is itself taken for lost."""
MAX_ALLOWANCE = 3600.0
_PROGRAM = Path(__file__).with_name("guard")


class Warden:
    """One run of a command under a warden of its own; see guard/warden.py."""

    def __init__(self, command: Sequence[str], folder: Path, output: Path, environment: Mapping[str, str]) -> None:
        """Raises EngineError when no process can be started on this machine."""
        marks = markers.new_run()
        self._run = marks[markers.RUN]
        request = {
            "command": list(command),
            "environment": {**environment, **marks},
            "folder": str(folder),
            "output": str(output),
        }
        with contextlib.ExitStack() as given, contextlib.ExitStack() as kept:
            try:
                input_end, self._input = os.pipe()
                given.callback(os.close, input_end)
                kept.callback(os.close, self._input)
                self._output, output_end = os.pipe()
                kept.callback(os.close, self._output)
                given.callback(os.close, output_end)
                errors = given.enter_context(output.open("ab"))
                _fork(request, (input_end, output_end, errors.fileno()))
            except OSError as error:
                raise EngineError(f"no process can be started here ({error.strerror}); free resources") from error
            kept.pop_all()  # From here on `close` closes them.
        self._said = b""

    def allow(self, seconds: float) -> None:
        """Let the command run for so long, from now, if nothing else is said."""
        allowed = MAX_ALLOWANCE if math.isinf(seconds) else max(0.0, min(seconds, MAX_ALLOWANCE))
        deadline = time.clock_gettime(time.CLOCK_BOOTTIME) + allowed
        with contextlib.suppress(BrokenPipeError):
            os.write(self._input, b"%.3f\n" % deadline)

    def has_ended(self, patience: float) -> bool:
        """Whether the warden has nothing more to say; waits so long for it."""
        end = time.monotonic() + patience
        said = select.poll()
        said.register(self._output, select.POLLIN | select.POLLHUP)
        while said.poll(max(0.0, end - time.monotonic()) * 1000):
            block = os.read(self._output, 4096)
            if not block:
                return True
            self._said += block
        return False

    def close(self) -> Mapping[str, Any] | None:
        """End everything that still runs. What the warden reported; None when it could not."""
        os.close(self._input)
        ended = self.has_ended(STOP_SECONDS)
        os.close(self._output)
        lines = self._said.decode(errors="replace").splitlines()
        if lines and lines[0].isdigit():
            _see_it_end(int(lines[0]), kill=not ended)
        try:
            result = ast.literal_eval(lines[-1])
        except (IndexError, ValueError, SyntaxError):
            result = None
        if not isinstance(result, dict):
            markers.kill_marked(self._run)
            return None
        return result


def _see_it_end(pid: int, *, kill: bool) -> None:
    """Return when the process is gone; its last word comes a moment before."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if kill:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        ending = select.poll()
        ending.register(process, select.POLLIN)
        ending.poll(STOP_SECONDS * 1000)
    finally:
        os.close(process)


class _ForkServer:
    """The process that forks this process's wardens. Its environment is empty: nothing of ours can leak through it."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair()
        self.owner = os.getpid()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_PROGRAM)],
                stdin=theirs.fileno(),
                env={},
                cwd="/",
                start_new_session=True,
            )

    def fork(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Raises OSError when it is gone."""
        body = json.dumps(request).encode()
        socket.send_fds(self._requests, [len(body).to_bytes(LENGTH_BYTES, "big")], descriptors)
        self._requests.sendall(body)

    def close(self) -> None:
        self._requests.close()
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()


_LOCK = threading.Lock()
_server: _ForkServer | None = None


def release() -> None:
    """End the fork server of this process, for one that asked the engine something and goes on without it."""
    global _server
    with _LOCK:
        if _server is not None:
            _server.close()
            _server = None


def _fork(request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """By this process's server: started with the first run, and anew when it was killed or is another process's."""
    global _server
    with _LOCK:
        if _server is not None and _server.owner == os.getpid():
            try:
                _server.fork(request, descriptors)
            except OSError:
                _server.close()
            else:
                return
        _server = _ForkServer()
        _server.fork(request, descriptors)
