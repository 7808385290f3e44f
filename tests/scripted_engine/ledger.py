"""The file that shows which chunk ran when, and whether anything ran twice at once."""

import fcntl
import json
import os
import time


def started_at(pid):
    """The kernel's start time of a living process (so that a reused pid is not taken for it); None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            state, *fields = file.read().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else int(fields[18])


class Ledger:
    """The ledger as one run of a chunk sees it; nobody else writes to it until this run's `start`.

    Besides, all processes of a run hold a lock in the kernel from before its start line until the last of them is
    gone, however they end: a run that finds it held started too early.
    """

    def __init__(self, chunk):
        self.path = os.environ.get("SCRIPTED_ENGINE_LEDGER")
        self._turn = self._take_turn()
        self.about = {
            "node": chunk.name,
            "node_type": chunk.node_type,
            "uid": chunk.uid,
            "chunk": chunk.index,
            "pid": os.getpid(),
            "folder": os.path.dirname(chunk.cache),
            "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "machine": os.uname().nodename,
        }
        earlier = [line for line in self._lines() if line["uid"] == chunk.uid and line["chunk"] == chunk.index]
        ended = {(line["pid"], line["attempt"]) for line in earlier if line["event"] == "end"}
        starts = [line for line in earlier if line["event"] == "start"]
        self.attempt = self.about["attempt"] = len(starts) + 1
        self.overlaps = [
            line["pid"]
            for line in starts
            if (line["pid"], line["attempt"]) not in ended and started_at(line["pid"]) == line["started"]
        ]
        self.overlaps += [pid for pid in self._lock_chunk() if pid not in self.overlaps]

    def start(self):
        self._append(event="start", started=started_at(os.getpid()), overlaps=self.overlaps)
        if self._turn is not None:
            os.close(self._turn)

    def end(self, exit_code):
        self._append(event="end", exit=exit_code)

    def _take_turn(self):
        if not self.path:
            return None
        turn = os.open(f"{self.path}.turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(turn, fcntl.LOCK_EX)
        return turn

    def _lock_chunk(self):
        """The pid of the run whose processes still hold the chunk, if any; from now on this run's hold it.

        The descriptor stays open: a fork inherits it, a program that is executed does not.
        """
        if not self.path:
            return []
        os.makedirs(f"{self.path}.held", exist_ok=True)
        name = os.path.join(f"{self.path}.held", f"{self.about['uid']}.{self.about['chunk']}")
        held = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return [int(os.read(held, 32) or b"0")]
        os.ftruncate(held, 0)
        os.write(held, str(os.getpid()).encode())
        return []

    def _lines(self):
        if not self.path or not os.path.exists(self.path):
            return []
        with open(self.path) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def _append(self, **what):
        if not self.path:
            return
        line = json.dumps({**what, **self.about, "time": time.time()}) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(descriptor, line.encode())
        os.close(descriptor)
