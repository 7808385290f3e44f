"""`make demo`: photos of a known object over HTTP to a textured mesh, a callback, and the measured accuracy.

Starts the whole service on this machine, and two small servers that play the client: one offers the photos, one
receives the callback. Leaves the results in `build/demo`, and no process.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.accuracy import measure_results
from demo.client import Client
from demo.display import StageDisplay
from demo.scene import render_photos
from demo.stand import stand

_CALLBACK_SECONDS = 30


def main() -> int:
    console = Console(highlight=False, soft_wrap=True)
    folder = Path(os.environ.get("DATA_DIR", "build/demo")).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.monotonic()
    try:
        with ExitStack() as stack:
            return _run(console, folder, stack, begun)
    except KeyboardInterrupt:
        console.print("stopped")
        return 130


def _run(console: Console, folder: Path, stack: ExitStack, begun: float) -> int:
    photos, truth = folder / "photos", folder / "truth"
    photos.mkdir(parents=True)
    made = stack.enter_context(stand(folder / "service", photos))
    service, receiver, client = made.service, made.receiver, made.client
    service.start()
    with console.status("rendering the photos of an object whose shape is known ..."):
        names = render_photos(photos, truth)
    console.print(f"{len(names)} photos rendered: {photos}")
    with console.status("starting the service ..."):
        if not service.wait_until_ready():
            console.print(f"the service did not start; see {folder / 'service' / 'logs'}")
            return 1
    console.print(f"service ready at {service.url}")

    job_id = client.submit([made.url_of(name) for name in names], receiver.url, metadata={"order": 42})
    console.print(f"POST /api/v1/reconstruct: job {job_id}")
    job: dict[str, Any] = {}
    with StageDisplay(console) as display:
        for job in client.follow(job_id):
            service.keep_alive()
            display.show(job)
    if job["status"] != "completed":
        console.print(f"the job is {job['status']}: {job['error']}")
        return 1
    try:
        callback = receiver.wait(_CALLBACK_SECONDS)
    except queue.Empty:
        console.print("the job is completed, but no callback came")
        return 1
    console.print(f"callback received, signature verified: {callback['status']}, metadata {callback['metadata']}")
    return _report(console, client, job, folder, truth, time.monotonic() - begun)


def _report(console: Console, client: Client, job: dict[str, Any], folder: Path, truth: Path, seconds: float) -> int:
    results = folder / "results"
    results.mkdir()
    for item in job["results"]:
        client.download(item["url"], results / item["name"])
    with console.status("measuring the mesh against the truth ..."):
        accuracy = measure_results(results, truth)
    for label, name in (
        ("mesh", "texturedMesh.obj"),
        ("textured GLB", "model.glb"),
        ("picture", "preview.png"),
        ("report", "report.json"),
    ):
        console.print(f"{label:<13} {results / name}")
    console.print(f"accuracy      {accuracy}")
    console.print(f"time          {seconds:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
