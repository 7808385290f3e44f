"""The file that shows which chunk ran when, and whether anything ran twice at once."""

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
    def __init__(self, chunk):
        self.path = os.environ.get("SCRIPTED_ENGINE_LEDGER")
        self.about = {
            "node": chunk.name,
            "node_type": chunk.node_type,
            "uid": chunk.uid,
            "chunk": chunk.index,
            "pid": os.getpid(),
            "folder": os.path.dirname(chunk.cache),
            "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
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

    def start(self):
        self._append(event="start", started=started_at(os.getpid()), overlaps=self.overlaps)

    def end(self, exit_code):
        self._append(event="end", exit=exit_code)

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
