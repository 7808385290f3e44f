"""Finding the wardens of a test: they are forked, so that only their name and their folder tell what they are."""

from __future__ import annotations

from pathlib import Path

import psutil


def wardens_in(folder: Path) -> list[psutil.Process]:
    """The living wardens of runs in this folder or below it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "warden" and process.status() != psutil.STATUS_ZOMBIE:
                cwd = Path(process.cwd())
                if cwd == folder or folder in cwd.parents:
                    found.append(process)
        except psutil.Error:
            continue
    return found
