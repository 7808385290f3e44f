"""What happens when a stage does not find all that it reads: the local copies go, so that the next try fetches anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from meshroom_tasks.errors import HandoffIncomplete
from meshroom_tasks.handoff.workspace import Workspace
from meshroom_tasks.jobs.records import ReadItem
from meshroom_tasks.logs import logger

log = logger(__name__)


@contextmanager
def distrusting(workspace: Workspace, reads: Iterable[ReadItem]) -> Iterator[None]:
    """When the block raises HandoffIncomplete, what it read is dropped from the workspace, unpacked wrongly or damaged
    since. The error goes on to whoever decides on another attempt."""
    try:
        yield
    except HandoffIncomplete as error:
        dropped = sum(workspace.forget(item.digest) for item in reads)
        log.error("handoff_incomplete", error=error.message, dropped_entries=dropped)
        raise
