"""What an engine calls itself: part of every cache address, so two versions never share a result."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from meshroom_tasks.errors import EngineNotFound

MAX_LENGTH = 60
_VERSION = re.compile(r"(?:[\w.+-]+ )?v?\d[\w.+-]*")


def executable(command: Sequence[str]) -> Path:
    """The file that a command starts. Raises EngineNotFound."""
    found = shutil.which(command[0]) if command else None
    if found is None:
        raise EngineNotFound(
            f"the engine's command {command[0] if command else ''!r} is not on this machine; "
            "install it or set MESHROOM_BATCH and MESHROOM_COMPUTE"
        )
    return Path(found)


def from_version(said: str) -> str | None:
    """A name from the version that a command prints: one short line such as `cpu-engine 0.1.0`, else None."""
    lines = said.strip().splitlines()
    if len(lines) != 1 or len(lines[0]) > MAX_LENGTH or not _VERSION.fullmatch(lines[0].strip()):
        return None
    return folder_safe(lines[0])


def from_release(release: str) -> str | None:
    """A name from the release of Meshroom that a saved graph tells, if it tells one."""
    return folder_safe(f"meshroom-{release}") if release else None


def from_content(command: Sequence[str]) -> str:
    """A name from the content of the executable and of all files that the command names."""
    digest = sha256()
    for file in (executable(command), *(Path(word) for word in command[1:])):
        digest.update(file.read_bytes() if file.is_file() else str(file).encode())
    name = command[-1].rpartition(".")[2] if "-m" in command else executable(command).name
    return f"{folder_safe(name)}-{digest.hexdigest()[:8]}"


def folder_safe(name: str) -> str:
    """Lower case letters, digits, `.`, `_`, `+` and `-` alone, and never empty or hidden."""
    return re.sub(r"[^a-z0-9._+-]+", "-", name.strip().lower()).strip("-.")[:MAX_LENGTH] or "engine"
