"""The files that Meshroom keeps beside a chunk's outputs: `status`, `log` and `statistics`, JSON but for the log.

They are named `<i>.status` and so on where the node is cut into chunks. Replaced by rename, so a reader never sees
half of one.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

State = Literal["NONE", "RUNNING", "ERROR", "KILLED", "SUCCESS"]


@dataclass(frozen=True)
class ChunkFiles:
    """Where a chunk's three files lie."""

    folder: Path
    prefix: str = ""

    @classmethod
    def of(cls, folder: Path, block_size: int, index: int) -> ChunkFiles:
        return cls(folder, f"{index}." if block_size else "")

    @property
    def status(self) -> Path:
        return self.folder / f"{self.prefix}status"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.prefix}log"

    @property
    def statistics(self) -> Path:
        return self.folder / f"{self.prefix}statistics"


@dataclass(frozen=True)
class Status:
    """What a status file says. Times are local, as Meshroom writes them."""

    node_name: str
    node_type: str
    version: str
    command: str
    state: State = "NONE"
    started: datetime | None = None
    ended: datetime | None = None
    return_code: int | None = None
    session: str = ""

    def running(self) -> Status:
        return replace(self, state="RUNNING", started=datetime.now(), session=str(uuid.uuid1()))

    def finished(self, state: State, return_code: int) -> Status:
        return replace(self, state=state, ended=datetime.now(), return_code=return_code)

    def as_json(self) -> dict[str, Any]:
        elapsed = (self.ended or datetime.now()) - self.started if self.started else timedelta()
        return {
            "_parent": None,
            "status": self.state,
            "execMode": "LOCAL",
            "nodeName": self.node_name,
            "nodeType": self.node_type,
            "packageName": "cpu_engine",
            "packageVersion": self.version,
            "graph": "",
            "commandLine": self.command,
            "env": None,
            "startDateTime": str(self.started or ""),
            "endDateTime": str(self.ended or ""),
            "elapsedTime": elapsed.total_seconds(),
            "hostname": socket.gethostname(),
            "sessionUid": self.session,
            "returnCode": self.return_code,
            "elapsedTimeStr": str(elapsed),
        }


def write_json(path: Path, content: Any) -> None:
    """Replace a file by its new content in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=4), encoding="utf-8")
    temporary.replace(path)


def read_state(path: Path) -> State:
    """The state that a status file tells; NONE where there is none that can be read."""
    try:
        state: State = json.loads(path.read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return "NONE"
    return state
