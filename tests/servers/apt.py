"""Servers from Debian packages, for tests that run as root."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_SECONDS = 600
_OPTIONS = ("-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300")
_LOCK = Path(tempfile.gettempdir()) / "meshroom-tasks-apt.lock"


def install(package: str) -> None:
    """Install a package where that is possible; whoever asks looks afterwards whether it is there."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    # In run level 1 the package's own service is not started.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Of tests that run side by side one installs, and the others find it done.
        for command in (("apt-get", "-qq", "update"), ("apt-get", "install", *_OPTIONS, package)):
            try:
                subprocess.run(command, timeout=_SECONDS, capture_output=True, env=environment)
            except (OSError, subprocess.TimeoutExpired):
                return
