"""How fast chunks are handed on: put and fetch through the stage cache against plain boto3, on SeaweedFS on loopback.

    python -m benchmarks.handoff_throughput [--megabytes N] [--pairs N]

Ours is everything that a worker does: one bundle made from a folder of files, hashed, compressed where that gains
something, stored under its marker; fetched, verified, unpacked and synced to disk. Plain is `upload_fileobj` and
`download_fileobj` of the same files' bytes as one object, which verify and unpack nothing. Both take turns.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config

from meshroom_tasks.handoff import StageCache, Workspace
from meshroom_tasks.jobs.addresses import Address
from meshroom_tasks.jobs.records import ReadItem
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import open_storage
from tests.servers.seaweedfs import running_seaweedfs

FILES = 20


def dense(folder: Path, megabytes: int) -> None:
    """Depth maps: files that are compressed by themselves."""
    for number in range(FILES):
        (folder / f"{number}_depthMap.exr").write_bytes(os.urandom(megabytes * 1_000_000 // FILES))


def compressible(folder: Path, megabytes: int) -> None:
    """Meshes: text of numbers."""
    vertices = np.random.default_rng(1).normal(size=(50_000, 3))
    text = b"".join(b"v %.6f %.6f %.6f\n" % tuple(vertex) for vertex in vertices)
    size = megabytes * 1_000_000 // FILES
    for number in range(FILES):
        start = number * 7919 % len(text)
        (folder / f"{number}.obj").write_bytes((text[start:] + text * (size // len(text) + 1))[:size])


def seconds(work: Callable[[], Any]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


class Contest:
    """The same bytes both ways. The workspace is thrown away after each fetch."""

    def __init__(self, settings: dict[str, Any], folder: Path, stage: Path) -> None:
        loaded = load_settings(**settings)
        self.storage = open_storage(loaded)
        self.cache = StageCache(self.storage)
        self.folder, self.stage = folder, stage
        self.bucket = loaded.storage.removeprefix("s3://").partition("/")[0]
        self.client = boto3.client(
            "s3",
            endpoint_url=loaded.aws_endpoint_url,
            aws_access_key_id=loaded.aws_access_key_id,
            aws_secret_access_key=loaded.aws_secret_access_key.get_secret_value(),
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}),
        )
        self.plain = folder / "plain"
        with self.plain.open("wb") as target:
            for path in sorted(stage.iterdir()):
                with path.open("rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
        self.storage.put_bytes("warm", b"up")

    def ours(self, number: int) -> tuple[float, float]:
        address = Address("engine-1", "photos", "DepthMap", "uid", number, "lineage")
        entry = None

        def put() -> None:
            nonlocal entry
            entry = self.cache.put(address, self.stage, None)

        upload = seconds(put)
        assert entry is not None
        item = ReadItem("DepthMap", "uid", number, entry.digest, entry.bundle_key)
        workspace = Workspace(self.folder / "workspace", "engine-1", "photos")
        download = seconds(lambda: self.cache.fetch(item, workspace))
        shutil.rmtree(workspace.folder)
        self.storage.delete_prefix("cache")
        return upload, download

    def theirs(self, number: int) -> tuple[float, float]:
        key, back = f"plain/{number}", self.folder / "back"

        def put() -> None:
            with self.plain.open("rb") as source:
                self.client.upload_fileobj(source, self.bucket, key)

        def get() -> None:
            with back.open("wb") as target:
                self.client.download_fileobj(self.bucket, key, target)
                target.flush()
                os.fsync(target.fileno())

        upload, download = seconds(put), seconds(get)
        back.unlink()
        self.client.delete_object(Bucket=self.bucket, Key=key)
        return upload, download


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="handoff-") as name, running_seaweedfs(Path(name) / "server") as server:
        for make in (dense, compressible):
            folder = Path(name) / make.__name__
            stage = folder / "stage"
            stage.mkdir(parents=True)
            make(stage, options.megabytes)
            contest = Contest(server.settings(f"handoff-{make.__name__}"), folder, stage)
            ratios = []
            for number in range(options.pairs + 1):
                (up, down), (plain_up, plain_down) = contest.ours(number), contest.theirs(number)
                if number == 0:
                    continue  # Connections, caches, and the server's first volumes.
                ratios.append(((plain_up + plain_down) / (up + down), plain_up / up, plain_down / down))
                rates = [options.megabytes / value for value in (up, down, plain_up, plain_down)]
                print(
                    f"{make.__name__:12} ours {rates[0]:4.0f} up {rates[1]:4.0f} down, "
                    f"plain {rates[2]:4.0f} up {rates[3]:4.0f} down (MB/s), ratio {ratios[-1][0]:.2f}",
                    flush=True,
                )
            both, up_ratio, down_ratio = (statistics.median(values) for values in zip(*ratios, strict=True))
            print(
                f"{make.__name__:12} median ratio {both:.2f} (put {up_ratio:.2f}, fetch {down_ratio:.2f})", flush=True
            )


if __name__ == "__main__":
    main()
