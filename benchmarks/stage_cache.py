"""What the stage cache saves: a cold job, the same one again, and one with another setting of Texturing.

    python -m benchmarks.stage_cache [--photos FOLDER] [--rounds N]

Each round is a service of its own with nothing in its cache; times are from the POST to the callback.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from demo.scene import render_photos
from demo.stand import Stand, stand

CHANGE = {"Texturing": {"textureSide": 2048}}


def seconds_of(made: Stand, urls: list[str], **more: Any) -> float:
    """Of one job; says how much of it was reused."""
    begun = time.monotonic()
    job_id = made.client.submit(urls, made.receiver.url, **more)
    callback = made.receiver.wait(3600)
    seconds = time.monotonic() - begun
    if callback["status"] != "completed":
        raise SystemExit(callback["error"])
    *_, job = made.client.follow(job_id)
    print(f"  {seconds:7.1f} s, {job['reuse']['cached']} of {job['reuse']['chunks']} chunks from the cache", flush=True)
    return seconds


def round_of_jobs(photos: Path) -> tuple[float, float, float]:
    """Seconds: cold, the same again, Texturing changed."""
    names = sorted(path.name for path in photos.iterdir())
    with (
        tempfile.TemporaryDirectory(prefix="stage-cache-") as folder,
        stand(Path(folder), photos, cpu_workers=1, engine_threads=os.cpu_count() or 1) as made,
    ):
        made.service.start()
        if not made.service.wait_until_ready():
            raise SystemExit("the service did not start")
        urls = [made.url_of(name) for name in names]
        return seconds_of(made, urls), seconds_of(made, urls), seconds_of(made, urls, settings=CHANGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = os.environ.get("RECON_TEST_PHOTOS")
    parser.add_argument(
        "--photos",
        type=Path,
        default=Path(given) if given else None,
        help="a folder of photos; default: RECON_TEST_PHOTOS, else those of the demo",
    )
    parser.add_argument("--rounds", type=int, default=2, help="the first one may compile the engine's kernels")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photos-") as folder:
        photos = Path(folder) / "photos"
        if options.photos:
            shutil.copytree(options.photos, photos)
        else:
            render_photos(photos, Path(folder) / "truth")
        rounds = []
        for number in range(options.rounds):
            print(f"round {number + 1}: cold, the same, Texturing changed", flush=True)
            rounds.append(round_of_jobs(photos))
    again = statistics.median(same for _, same, _ in rounds)
    share = statistics.median(changed / cold for cold, _, changed in rounds)
    print(f"the same job again: median {again:.1f} s; Texturing changed: median {share:.1%} of the cold job's time")


if __name__ == "__main__":
    main()
