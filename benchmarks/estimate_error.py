"""How wrong a job's estimate of the time left is, at a quarter, half and three quarters of its time.

    python -m benchmarks.estimate_error [--photos FOLDER] [--workers N]

Real jobs of the CPU engine over HTTP, one after the other on one service that begins without any experience: sets of
other sizes and other numbers of photos, each set new to the stage cache. The error is that of the foretold end against
the real one, in parts of the whole time: (elapsed + left - total) / total.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from demo.scene import render_photos
from demo.stand import Stand, stand

QUARTERS = (0.25, 0.5, 0.75)


class PhotoSet(NamedTuple):
    """The first part of the photos, which are neighbours, at a part of their width."""

    name: str
    share: float
    scale: float


SETS = (
    PhotoSet("all, the first job", 1, 1.0),
    PhotoSet("all, 0.95 wide", 1, 0.95),
    PhotoSet("the first two thirds", 0.67, 0.98),
    PhotoSet("all, half as wide", 1, 0.5),
    PhotoSet("all, 0.9 wide", 1, 0.9),
)


class Told(NamedTuple):
    """What the job said of itself, seconds after it was submitted."""

    elapsed: float
    progress: float
    left: float | None


def make_set(photos: Path, served: Path, number: int, wanted: PhotoSet) -> list[str]:
    """Copies of the photos, with their EXIF data."""
    names = []
    paths = sorted(photos.iterdir())
    for path in paths[: round(wanted.share * len(paths))]:
        with Image.open(path) as image:
            size = (round(image.width * wanted.scale), round(image.height * wanted.scale))
            name = f"{number}_{path.stem}.jpg"
            resized = image if wanted.scale == 1 else image.resize(size, Image.Resampling.LANCZOS)
            resized.save(served / name, quality=92, exif=image.getexif())
        names.append(name)
    return names


def follow(made: Stand, names: Sequence[str]) -> list[Told]:
    """All that a job says, the last when it has ended."""
    begun = time.monotonic()
    job_id = made.client.submit([made.url_of(name) for name in names], made.receiver.url)
    told = []
    for job in made.client.follow(job_id):
        told.append(Told(time.monotonic() - begun, job["progress"], job["seconds_left"]))
    if job["status"] != "completed":
        raise SystemExit(f"{job['status']}: {job['error']}")
    return told


def errors(told: Sequence[Told]) -> list[float | None]:
    """At each of the QUARTERS; None where nothing was said."""
    total = told[-1].elapsed
    found: list[float | None] = []
    for part in QUARTERS:
        then = min(told, key=lambda at: abs(at.elapsed - part * total))
        found.append(None if then.left is None else (then.elapsed + then.left - total) / total)
    return found


def goes_back(told: Sequence[Told]) -> bool:
    return any(later.progress < earlier.progress for earlier, later in pairwise(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=os.environ.get("RECON_TEST_PHOTOS") or None)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="estimate-") as name:
        folder = Path(name)
        photos = options.photos or folder / "photos"
        if options.photos is None:
            render_photos(photos, folder / "truth")
        served = folder / "served"
        served.mkdir()
        later: list[list[float]] = [[] for _ in QUARTERS]
        with stand(folder / "data", served, cpu_workers=options.workers) as made:
            made.service.start()
            if not made.service.wait_until_ready():
                raise SystemExit("the service did not start")
            print("| job | photos | seconds | at 25 % | at 50 % | at 75 % |\n|---|---|---|---|---|---|")
            for number, wanted in enumerate(SETS):
                names = make_set(photos, served, number, wanted)
                told = follow(made, names)
                if goes_back(told):
                    raise SystemExit("the progress went back")
                found = errors(told)
                for place, error in zip(later, found, strict=True):
                    if number and error is not None:
                        place.append(abs(error))
                shown = " | ".join("nothing" if error is None else f"{error:+.0%}" for error in found)
                print(f"| {wanted.name} | {len(names)} | {told[-1].elapsed:.0f} | {shown} |", flush=True)
    medians = ", ".join(f"{statistics.median(place):.0%}" if place else "nothing" for place in later)
    print(f"median of the later jobs, without sign: {medians}")


if __name__ == "__main__":
    main()
