"""Server-sent events as a client reads them (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerEvent:
    """`id` is what to send as `Last-Event-ID`, to go on behind this event."""

    name: str
    data: Any
    id: str


def events_of(lines: Iterable[bytes]) -> Iterator[ServerEvent]:
    """An event is over with an empty line; one that broke off before is none."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield ServerEvent(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id", ""))
            fields = {}
            continue
        name, _, value = line.decode(errors="replace").partition(":")
        if name:  # Else it is a comment, which keeps the connection alive.
            fields[name] = value.removeprefix(" ")
