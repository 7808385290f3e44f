"""One chunk, computed in a child process, so that whatever happens to it ends as a status with a reason.

The child is forked before any numeric library is loaded; its output, native libraries' included, goes to the chunk's
log. It dies with its parent.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shlex
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from meshroom_tasks.cpu_engine import __version__
from meshroom_tasks.cpu_engine.links import Graph, GraphNode, nested, resolve
from meshroom_tasks.cpu_engine.node import NodeChunk, NodeError, log_line, thread_count
from meshroom_tasks.cpu_engine.planning import view_count
from meshroom_tasks.cpu_engine.status import ChunkFiles, Status, read_state, write_json

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
_PR_SET_PDEATHSIG = 1
_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Terminated(Exception):
    """The command was told to stop."""


def compute_chunk(graph: Graph, node: GraphNode, index: int, cache: Path) -> bool:
    """Compute chunk `index` of a node unless its status says SUCCESS already. Returns whether it is done.

    Raises Terminated after SIGTERM or SIGINT, the child killed and the status KILLED.
    """
    folder = cache / node.node_type / node.uid
    files = ChunkFiles.of(folder, node.block_size, index)
    if read_state(files.status) == "SUCCESS":
        return True
    folder.mkdir(parents=True, exist_ok=True)
    status = Status(node.name, node.node_type, f"{__version__}/{node.kind.version}", shlex.join(sys.argv)).running()
    write_json(files.status, status.as_json())
    with files.log.open("wb") as log, _stop_signals():
        child = None
        try:
            child = _start(graph, node, index, cache, folder, log.fileno())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            _, wait_status, usage = os.wait4(child, 0)
        except Terminated:
            if child is not None:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            write_json(files.status, status.finished("KILLED", -signal.SIGKILL).as_json())
            raise
        return_code = os.waitstatus_to_exitcode(wait_status)
        if return_code < 0:
            os.write(log.fileno(), log_line("error", _reason_of_death(-return_code)).encode())
    status = status.finished("SUCCESS" if return_code == 0 else "ERROR", return_code)
    write_json(files.statistics, _statistics(status, usage))
    write_json(files.status, status.as_json())
    return return_code == 0


def _start(graph: Graph, node: GraphNode, index: int, cache: Path, folder: Path, log: int) -> int:
    """Fork the child; returns its process id to the parent only."""
    threads = thread_count()
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # A signal between fork and the child's own handlers would make the child act as the parent: let it wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    child = os.fork()
    if child == 0:
        _run_child(graph, node, index, cache, folder, log, parent, threads)
    return child


def _run_child(
    graph: Graph, node: GraphNode, index: int, cache: Path, folder: Path, log: int, parent: int, threads: int
) -> NoReturn:
    """Only leaves by `_exit`: nothing of the parent's clean-up may run twice."""
    code = 1
    try:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        node.kind.process(_chunk(graph, node, index, cache, folder, threads))
        code = 0
    except NodeError as error:
        sys.stdout.write(log_line("error", str(error)))
    except BaseException:
        sys.stdout.write(traceback.format_exc())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _chunk(graph: Graph, node: GraphNode, index: int, cache: Path, folder: Path, threads: int) -> NodeChunk:
    views = view_count(graph)
    block = node.block_size or max(views, 1)
    values = {name: resolve(graph, value, str(cache)) for name, value in node.values.items()}
    return NodeChunk(
        attributes=nested(values),
        folder=folder,
        index=index,
        views=range(min(index * block, views), min((index + 1) * block, views)),
        threads=threads,
    )


@contextmanager
def _stop_signals() -> Iterator[None]:
    """SIGTERM and SIGINT raise Terminated."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated(signal.Signals(number).name)

    previous = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _reason_of_death(number: int) -> str:
    name = signal.Signals(number).name
    if number == signal.SIGKILL:
        return f"The node's process was killed ({name}), most often for lack of memory."
    return f"The node's process died ({name}, return code {-number})."


def _statistics(status: Status, usage: resource.struct_rusage) -> dict[str, object]:
    return {
        "fileVersion": 2.0,
        "computer": {"nbCores": os.cpu_count()},
        "process": {
            "duration": (status.ended - status.started).total_seconds() if status.ended and status.started else 0.0,
            "cpuSeconds": usage.ru_utime + usage.ru_stime,
            "userSeconds": usage.ru_utime,
            "systemSeconds": usage.ru_stime,
            "peakMemoryBytes": usage.ru_maxrss * 1024,
        },
    }
