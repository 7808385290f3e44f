"""Programs and libraries from npm, for tests: each set has a folder in `npm_packages` with exact versions and digests.

A set is installed once, below the user's cache folder, and again when its lock file changes. To change one: edit its
package.json, then `npm install --package-lock-only --omit-lockfile-registry-resolved` in its folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import apt

_SETS = Path(__file__).with_name("npm_packages")
_SECONDS = 300
_OPTIONS = ("--ignore-scripts", "--engine-strict", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error")


def node_modules(name: str) -> Path:
    """The installed `node_modules` of a set. Skips the test, with the reason, where it cannot be had."""
    for program, package in (("node", "nodejs"), ("npm", "npm")):
        if shutil.which(program) is None:
            apt.install(package)
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js is missing: install the Debian packages nodejs and npm, or run as root on Debian")
    source = _SETS / name
    wanted = source / "package-lock.json"
    folder = _cache() / f"{name}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Of tests that run side by side one installs, and the others find it done.
        if not (folder / "complete").exists():
            _install(source, folder)
    return folder / "node_modules"


def node(*arguments: str | Path, cwd: Path | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """What a program in JavaScript says; `arguments` begin with its file."""
    command = ["node", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, timeout=seconds, capture_output=True, text=True)


def _install(source: Path, folder: Path) -> None:
    for file in ("package.json", "package-lock.json"):
        shutil.copy(source / file, folder)
    try:
        done = subprocess.run(["npm", "ci", *_OPTIONS], cwd=folder, timeout=_SECONDS, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not fetched the packages of {source.name} in {_SECONDS} s")
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        pytest.skip(f"npm cannot install the packages of {source.name}: {' '.join(said[:3]) or done.stderr[-300:]}")
    (folder / "complete").touch()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshroom-tasks" / "npm"
