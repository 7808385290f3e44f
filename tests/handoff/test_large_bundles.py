"""A bundle is streamed: neither memory nor disk hold a second copy of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from meshroom_tasks.settings import PROJECT
from tests.servers.seaweedfs import SeaweedFS

FILES, FILE_BYTES = 8, 25_000_000
LIMIT = 130_000_000

_PROGRAM = """
import json, sys
from pathlib import Path
from meshroom_tasks.handoff import StageCache, Workspace
from meshroom_tasks.jobs.addresses import Address
from meshroom_tasks.jobs.records import ReadItem
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import open_storage

settings, root, suffix = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
storage = open_storage(load_settings(**settings))
storage.put_bytes("warm", bytes(20))
storage.get_bytes("warm")
cache, address = StageCache(storage), Address("e", "p", "DepthMap", "u", 0, "l" + suffix)
def peak():  # ru_maxrss would begin at the peak of the process that started this one.
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
extra = set()
def look(count):
    extra.update(path.name for path in root.rglob("*") if path.is_file() and path.parent.name != "stage")
before = peak()
entry = cache.put(address, root / "stage", None, progress=look)
up = peak()
cache.fetch(ReadItem("DepthMap", "u", 0, entry.digest, entry.bundle_key), Workspace(root / "workspace", "e", "p"))
print(json.dumps({"up": up - before, "down": peak() - up, "size": entry.size, "extra": sorted(extra)}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npz", "bin"])
def test_a_bundle_of_200_mb(seaweedfs: SeaweedFS, tmp_path: Path, suffix: str) -> None:
    stage = tmp_path / "stage"
    stage.mkdir()
    for number in range(FILES):
        (stage / f"{number}.{suffix}").write_bytes(os.urandom(FILE_BYTES))
    settings = seaweedfs.settings(f"large-{uuid.uuid4().hex}")
    told = _run(json.dumps(settings), str(tmp_path), suffix)
    assert told["size"] > FILES * FILE_BYTES
    assert told["extra"] == []
    assert told["up"] < LIMIT, told
    assert told["down"] < LIMIT, told
    (unpacked,) = (tmp_path / "workspace" / "e" / "p" / "entries").iterdir()
    for path in stage.iterdir():
        assert (unpacked / path.name).read_bytes() == path.read_bytes()


def _run(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    told: dict[str, Any] = json.loads(done.stdout)
    return told
