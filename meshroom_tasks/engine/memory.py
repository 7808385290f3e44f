"""Evidence that the kernel killed a process for lack of memory.

Nobody is told so: a killed process says nothing, and its parent sees SIGKILL. The kernel counts such kills by control
group, and a process that was about as large as all the memory there is was hardly killed for another reason.
"""

from __future__ import annotations

import re
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NEARLY_ALL = 0.85


def oom_kills() -> int:
    """Processes of this control group, and of those below it, that were killed for lack of memory so far; 0 where the
    system does not count them."""
    for folder in _own_folders():
        for name in ("memory.events", "memory.oom_control"):
            if found := re.search(r"^oom_kill (\d+)$", _text(folder / name), re.MULTILINE):
                return int(found[1])
    return 0


def memory_limit() -> int:
    """Bytes that the processes of this control group may use together."""
    limits = [int(psutil.virtual_memory().total)]
    for folder in _own_folders():
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (text := _text(folder / name).strip()).isdigit():
                limits.append(int(text))
    return min(limits)


def was_for_memory(kills: int, peak_bytes: int, limit: int) -> bool:
    """Whether a kill was for lack of memory: `kills` were counted meanwhile, the process had `peak_bytes`. Pure."""
    return kills > 0 or peak_bytes >= _NEARLY_ALL * limit


def _own_folders() -> list[Path]:
    """Of version 2 and of version 1; inside a container the own group is often shown as the root."""
    found = []
    for line in _text(_OWN).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            root = _ROOT / "memory" if controllers else _ROOT
            found += [root / path.lstrip("/"), root]
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
