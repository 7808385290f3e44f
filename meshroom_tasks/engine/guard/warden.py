"""The process between a worker and the engine: it sees to it that no process of the engine outlives its right to run.

There is one for each run, forked by __main__.py, in the run's folder and in a session of its own. It starts the command
in another session, with its output in a file. Each line on standard input is a new deadline, in seconds of
CLOCK_BOOTTIME. When the input ends (the worker is gone), a deadline passes (the worker is frozen or has lost its lease)
or SIGTERM comes, every descendant is killed. That reaches also those which made their own session or were forked
twice, because orphans are handed to the nearest subreaper above them: this process. The same happens to what the
command leaves behind when it ends by itself.

The first line that it says is its pid. The last one, a Python literal, says how it went: `exit` or `signal` of the
command, `stopped` (why it was not left to end by itself: "input", "deadline", "terminated"; else None), `cpu_seconds`
of all descendants, `peak_bytes` of the largest. Or `not_started`: why the command could not be executed.

Standard library only. It imports nothing of the service.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import time

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
LENGTH_BYTES = 8
"""How a request to fork a warden begins: the length of the rest."""
GRACE_SECONDS = 1.0
"""From SIGTERM to SIGKILL."""
LOOK_SECONDS = 1.0
"""A machine that was suspended wakes up with its deadlines past: look at the clock at least this often."""
FIRST_DEADLINE_SECONDS = 60.0
"""Until the first line on standard input."""
OOM_SCORE = b"500"
"""Where memory runs out, the kernel shall take the engine rather than the worker."""


def now() -> float:
    """Seconds since boot, time asleep included; the same clock in all processes of the machine."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main(parent: int, command: list[str], environment: dict[str, str], folder: str, output: str) -> int:
    """Guard one run; to be called in a process that `parent` has just forked for it. Returns its exit code."""
    wakeup = _prepare(parent)
    os.write(1, b"%d\n" % os.getpid())
    try:
        os.chdir(folder)
        child = _start(command, environment, output)
    except OSError as error:
        _report({"not_started": error.strerror or str(error)})
        return 1
    stopped, status = _watch(child, wakeup)
    status = _kill_all(child, status)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = os.waitstatus_to_exitcode(status)
    _report(
        {
            "exit": code if code >= 0 else None,
            "signal": -code if code < 0 else None,
            "stopped": stopped,
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
            "peak_bytes": used.ru_maxrss * 1024,
        }
    )
    return 0


def _prepare(parent: int) -> int:
    """Adopt orphans, die in an orderly way with the parent; returns a descriptor that wakes `select` on signals."""
    os.setsid()
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _prctl(PR_SET_NAME, ctypes.c_char_p(b"warden"))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(1)
    return reading


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _start(command: list[str], environment: dict[str, str], output: str) -> int:
    """The pid of the command. It is killed with this process, even where this process gets no chance to do it."""
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    warden = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become(command, environment, log, warden)
        except OSError as error:
            os.write(writing, str(error.errno).encode())
        os._exit(127)
    os.close(writing)
    os.close(log)
    with os.fdopen(reading) as failure:
        number = failure.read()
    if number:
        os.waitpid(child, 0)
        raise OSError(int(number), os.strerror(int(number)))
    return child


def _become(command: list[str], environment: dict[str, str], log: int, warden: int) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != warden:
        os._exit(127)
    try:
        os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC), OOM_SCORE)
    except OSError:
        pass
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.execvpe(command[0], command, environment)  # noqa: S606  # nosec B606  # no shell is the point


def _watch(child: int, wakeup: int) -> tuple[str | None, int | None]:
    """Wait for the command's end (None and its status) or for a reason to stop it (and None)."""
    deadline, rest = now() + FIRST_DEADLINE_SECONDS, b""
    while True:
        ready, _, _ = select.select([0, wakeup], [], [], min(LOOK_SECONDS, max(0.0, deadline - now())))
        signals = os.read(wakeup, 4096) if wakeup in ready else b""
        for pid, status in _reap():
            if pid == child:
                return None, status
        if signal.SIGTERM in signals:
            return "terminated", None
        if 0 in ready:
            received = os.read(0, 65536)
            if not received:
                return "input", None
            *lines, rest = (rest + received).split(b"\n")
            deadline = float(lines[-1]) if lines else deadline
        if now() >= deadline:
            return "deadline", None


def _reap() -> list[tuple[int, int]]:
    """(pid, status) of every child that has ended, adopted ones included."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _kill_all(child: int, status: int | None) -> int:
    """End all descendants, first with SIGTERM, then with SIGKILL until none is left. Returns the command's status.

    No living child means no living descendant: each has an unbroken line of living parents up to here.
    """
    kill_at, pause, told = now() + GRACE_SECONDS, 0.002, set[int]()
    while True:
        for pid, ended in _reap():
            status = ended if pid == child else status
        if not _has_children():
            return status if status is not None else signal.SIGKILL
        living = descendants(os.getpid())
        hard = now() >= kill_at
        for pid in living if hard else living - told:
            try:
                os.kill(pid, signal.SIGKILL if hard else signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        told |= living
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(ancestor: int) -> set[int]:
    """The pids of all living processes below one."""
    children: dict[int, list[int]] = {}
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    for pid in pids:
        state, parent = _state_and_parent(pid)
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found, ahead = set[int](), list(children.get(ancestor, []))
    while ahead:
        pid = ahead.pop()
        found.add(pid)
        ahead += children.get(pid, [])
    return found


def _state_and_parent(pid: int) -> tuple[str, int]:
    """As in /proc/<pid>/stat, after the name, which may hold anything; state X for a process that is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return "X", 0
    try:
        state, parent = os.read(descriptor, 4096).rpartition(b") ")[2].split()[:2]
    except OSError:
        return "X", 0
    finally:
        os.close(descriptor)
    return state.decode(), int(parent)


def _report(result: dict[str, object]) -> None:
    """The worker may be gone: then nobody wants to know."""
    try:
        os.write(1, repr(result).encode() + b"\n")
    except OSError:
        pass
