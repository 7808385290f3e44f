"""Child processes of a supervisor: started, started again when they die, and gone when it ends, by whatever signal."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshroom_tasks.settings import PROJECT

READY_FILE = "WORKER_READY_FILE"
"""Names a file that is there while a worker takes tasks, and is renewed every few seconds: for supervisors and the
health checks of containers."""
EXIT_REFUSED = 78
"""What a worker ends with when its machine is not fit for it (EX_CONFIG of sysexits.h)."""

_PR_SET_PDEATHSIG = 1
_RESTART_SECONDS = 1.0
_RESTART_REFUSED_SECONDS = 30.0
_HARMLESS = {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL"}
_LIBC = ctypes.CDLL(None, use_errno=True)


def refusal_file(ready_file: Path) -> Path:
    """Where a worker that refuses to take tasks leaves its reason."""
    return Path(f"{ready_file}.refused")


def say_ready() -> None:
    if (name := os.environ.get(READY_FILE)) is not None:
        Path(name).touch()


def say_not_ready() -> None:
    if (name := os.environ.get(READY_FILE)) is not None:
        Path(name).unlink(missing_ok=True)


def renew_ready_file() -> None:
    """The file is as old as the last sign of life. One that is not there is not made."""
    if (name := os.environ.get(READY_FILE)) is not None:
        with contextlib.suppress(FileNotFoundError):
            os.utime(name)


def run_module(module: str, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program of this project to its end, without the secrets of this one's environment.

    Raises TimeoutExpired, when it has been killed. It dies with the thread that calls this.
    """
    environment = {name: value for name, value in os.environ.items() if name in _HARMLESS}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        preexec_fn=_die_with_parent,
    )


@dataclass
class Child:
    """A process to keep alive. `log`: where its output goes; None: where the supervisor's own goes.

    `before` is called before each start.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready_file: Path | None = None
    log: Path | None = None
    before: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    restart_at: float = field(default=0.0)

    @property
    def refusal(self) -> str | None:
        """Why this worker does not take tasks, if it said so."""
        if self.ready_file is None:
            return None
        try:
            return refusal_file(self.ready_file).read_text().strip() or None
        except OSError:
            return None

    def start(self) -> None:
        self.restart_at = 0.0
        environment = dict(self.environment)
        if self.ready_file is not None:
            for file in (self.ready_file, refusal_file(self.ready_file)):
                file.unlink(missing_ok=True)
            environment[READY_FILE] = str(self.ready_file)
        self.before()
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self.log.open("ab")) if self.log is not None else None
            self.process = subprocess.Popen(
                self.command,
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def keep_alive(self) -> int | None:
        """Start it again when it has died; later when it has refused, since what it lacks does not come at once.

        Its exit code when it has died since the last call, else None.
        """
        if self.process is None or (code := self.process.poll()) is None:
            return None
        now = time.monotonic()
        if not self.restart_at:
            self.restart_at = now + (_RESTART_REFUSED_SECONDS if code == EXIT_REFUSED else _RESTART_SECONDS)
            return code
        if now >= self.restart_at:
            self.start()
        return None


def stop(children: Sequence[Child], seconds: float) -> None:
    """Ask all to stop; after so long, kill what is left with everything it started."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    for process in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
