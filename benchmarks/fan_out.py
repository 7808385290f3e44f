"""What a second worker is worth to one job: the chunks of its stages side by side, each engine with one thread.

    python -m benchmarks.fan_out [--photos FOLDER] [--pairs N]

A whole job over HTTP, on a fresh service with one worker and on one with two, in turn; CHUNK_BLOCK_SIZE is auto. The
stages that are cut into chunks are added up on their own: from the first claim of a chunk to the end of the last.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from demo.scene import render_photos
from demo.stand import stand

CUT = ("FeatureExtraction", "FeatureMatching", "PrepareDenseScene", "DepthMap", "DepthMapFilter")


def run(photos: Path, workers: int) -> tuple[float, float]:
    """Seconds of the whole job, and of the stages that are cut."""
    with (
        tempfile.TemporaryDirectory(prefix="fan-out-") as folder,
        stand(Path(folder), photos, cpu_workers=workers, engine_threads=1, chunk_block_size="auto") as made,
    ):
        made.service.start()
        if not made.service.wait_until_ready():
            raise SystemExit("the service did not start")
        begun = time.monotonic()
        urls = [made.url_of(path.name) for path in sorted(photos.iterdir())]
        *_, job = made.client.follow(made.client.submit(urls, made.receiver.url))
        seconds = time.monotonic() - begun
        if job["status"] != "completed":
            raise SystemExit(f"{job['status']}: {job['error']}")
        return seconds, sum(_seconds(stage) for stage in job["stages"] if stage["node_type"] in CUT)


def _seconds(stage: dict[str, Any]) -> float:
    times = [
        (datetime.fromisoformat(c["started_at"]), datetime.fromisoformat(c["finished_at"])) for c in stage["chunks"]
    ]
    return (max(end for _, end in times) - min(start for start, _ in times)).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=os.environ.get("RECON_TEST_PHOTOS") or None)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photos-") as folder:
        photos = options.photos or Path(folder) / "photos"
        if options.photos is None:
            render_photos(photos, Path(folder) / "truth")
        whole, cut = [], []
        print("| pair | job, 1 worker | 2 workers | ratio | cut stages, 1 worker | 2 workers | ratio |")
        print("|---|---|---|---|---|---|---|")
        for pair in range(options.pairs):
            (one, one_cut), (two, two_cut) = run(photos, 1), run(photos, 2)
            whole.append(two / one)
            cut.append(two_cut / one_cut)
            shown = f"{one:.1f} s | {two:.1f} s | {two / one:.2f} | {one_cut:.1f} s | {two_cut:.1f} s"
            print(f"| {pair + 1} | {shown} | {two_cut / one_cut:.2f} |", flush=True)
        print(f"median ratio: whole job {statistics.median(whole):.2f}, cut stages {statistics.median(cut):.2f}")


if __name__ == "__main__":
    main()
