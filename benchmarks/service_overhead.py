"""How much the service adds to the engine: a whole job over HTTP against the same stages run by hand.

    python -m benchmarks.service_overhead [--photos FOLDER] [--pairs N]

By hand means: the two commands of the engine, one after the other, in one folder, by this process. Over HTTP means:
from the POST to the callback, fetching the photos and publishing the results included, with one worker process that
gives the engine as many threads. Both run in turn, so that a machine whose speed drifts does not decide.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from demo.scene import render_photos
from demo.stand import stand
from meshroom_tasks.graph import parse_planned
from meshroom_tasks.settings import PROJECT, Settings, load_settings, python_path

TEMPLATE = PROJECT / "pipelines" / "default.mg"


def by_hand(photos: Path, settings: Settings) -> float:
    """Seconds for planning and for every chunk of every stage."""
    environment = {**os.environ, "PYTHONPATH": python_path(), "ENGINE_THREADS": str(settings.threads_per_engine)}
    with tempfile.TemporaryDirectory(prefix="by-hand-") as folder:
        graph = Path(folder) / "p.mg"
        begun = time.monotonic()
        plan = ["--input", str(photos), "--pipeline", str(TEMPLATE), "--save", str(graph), "--compute", "no"]
        subprocess.run([*settings.batch_command, *plan], check=True, env=environment, capture_output=True)
        for stage in parse_planned(graph.read_text()).stages:
            for chunk in range(stage.chunk_count):
                iteration = ["--iteration", str(chunk)] if stage.chunked else []
                command = [*settings.compute_command, str(graph), "--node", stage.name, *iteration]
                subprocess.run(command, check=True, env=environment, capture_output=True)
        return time.monotonic() - begun


def over_http(photos: Path, threads: int) -> float:
    """Seconds from the POST to the callback, on a service with nothing in its cache."""
    names = sorted(path.name for path in photos.iterdir())
    with (
        tempfile.TemporaryDirectory(prefix="over-http-") as folder,
        stand(Path(folder), photos, cpu_workers=1, engine_threads=threads) as made,
    ):
        made.service.start()
        if not made.service.wait_until_ready():
            raise SystemExit("the service did not start")
        begun = time.monotonic()
        made.client.submit([made.url_of(name) for name in names], made.receiver.url)
        callback = made.receiver.wait(3600)
        seconds = time.monotonic() - begun
        if callback["status"] != "completed":
            raise SystemExit(callback["error"])
        return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of photos; default: those of the demo")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    threads = os.cpu_count() or 1
    settings = load_settings(cpu_workers=1, engine_threads=threads)
    with tempfile.TemporaryDirectory(prefix="photos-") as folder:
        photos = Path(folder) / "photos"
        if options.photos:
            shutil.copytree(options.photos, photos)
        else:
            render_photos(photos, Path(folder) / "truth")
        by_hand(photos, settings)  # The first run compiles the engine's kernels.
        ratios = []
        for pair in range(options.pairs):
            hand, http = by_hand(photos, settings), over_http(photos, threads)
            ratios.append(http / hand)
            print(
                f"pair {pair + 1}: by hand {hand:6.1f} s, over HTTP {http:6.1f} s, ratio {http / hand:.3f}", flush=True
            )
        print(f"median ratio {statistics.median(ratios):.3f} (lowest {min(ratios):.3f}, highest {max(ratios):.3f})")


if __name__ == "__main__":
    main()
