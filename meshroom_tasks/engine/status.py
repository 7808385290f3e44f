"""The status file that Meshroom keeps for each chunk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Status:
    """What a status file says.

    `state`: NONE, SUBMITTED, RUNNING, ERROR, STOPPED, KILLED or SUCCESS. `return_code`: that of the program which did
    the work, negative for a signal; None when it was not started or has not ended.
    """

    state: str
    return_code: int | None


def parse_status(text: str) -> Status | None:
    """None for what is no status."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or not isinstance(content.get("status"), str):
        return None
    code = content.get("returnCode")
    return Status(content["status"], code if isinstance(code, int) and not isinstance(code, bool) else None)


def read_status(path: Path) -> Status | None:
    """None when there is no (readable) status file."""
    try:
        return parse_status(path.read_text(errors="replace"))
    except OSError:
        return None
