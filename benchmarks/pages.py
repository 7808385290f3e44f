"""How long the pages take with many jobs, on a browser that has never been here; and a log that is written fast.

    python -m benchmarks.pages [--jobs 1000] [--lines 5000] [--seconds 20]

The service runs as `make up` starts it, with the engine of the tests. Each page is opened in a new browser profile (no
cache, no connection): the time is the browser's own, from the navigation's begin to the `load` event. The yardstick is
`/healthz` on a new connection, as the same browser sees it. Then a stage writes so many lines a second while a page
shows its log: frames are counted in the browser, and the longest time in which it drew none. Without a graphics card
the browser draws on the same cores that the service runs on.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import Browser, Page, sync_playwright

from meshroom_tasks.jobs import tables
from tests.deployment import Deployment, deployed, stages_running
from tests.jobs.crowds import crowd

_FRAMES = """(seconds) => new Promise((resolve) => {
    const began = performance.now(); let last = began, frames = 0, longest = 0;
    const frame = (now) => {
        frames++; longest = Math.max(longest, now - last); last = now;
        if (now - began < 1000 * seconds) requestAnimationFrame(frame);
        else resolve({ frames: frames / seconds, longest, shown: document.getElementById("log-count").textContent });
    };
    requestAnimationFrame(frame);
})"""
_LOAD = """() => {
    const [entry] = performance.getEntriesByType("navigation");
    return [entry.loadEventEnd, entry.responseStart];
}"""


@contextmanager
def fresh_page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    try:
        yield context.new_page()
    finally:
        context.close()


def load_times(browser: Browser, url: str, times: int) -> list[tuple[float, float]]:
    """Milliseconds to the `load` event, and to the answer's first byte."""
    found = []
    for _ in range(times):
        with fresh_page(browser) as page:
            page.goto(url, wait_until="load")
            page.wait_for_function("() => performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
            loaded, answered = page.evaluate(_LOAD)
            found.append((loaded, answered))
    return found


def pages(browser: Browser, deployment: Deployment, jobs: int, times: int) -> None:
    finished = [deployment.submit(deployment.photo_urls(20, seed=seed)) for seed in range(3)]
    for job_id in finished:
        deployment.wait(job_id)
    crowd(deployment.store, finished[0], jobs)
    with deployment.store.database.transaction() as connection:  # They wait, so that pages alone are timed.
        connection.execute(sa.delete(tables.outbox))
        later = datetime.now(UTC) + timedelta(days=1)
        connection.execute(sa.update(tables.step).where(tables.step.c.state == "ready").values(not_before=later))
    base = deployment.service.url
    print(f"{jobs} jobs queued beside 3 that are finished; median of {times}, and the longest")
    for name, path in (
        ("/healthz (yardstick)", "/healthz"),
        ("jobs", "/"),
        ("jobs, completed", "/?status=completed"),
        ("a finished job", f"/jobs/{finished[0]}"),
        ("new job", "/new"),
        ("workers", "/workers"),
    ):
        found = load_times(browser, base + path, times)
        loaded, answered = ([one[k] for one in found] for k in (0, 1))
        median = statistics.median(loaded)
        print(f"{name:<22} {median:6.0f} ms  {max(loaded):6.0f} ms   (first byte {statistics.median(answered):.0f} ms)")


def log(browser: Browser, deployment: Deployment, lines: int, seconds: int) -> None:
    written: dict[str, Any] = {"node_type": "Meshing", "lines_a_second": lines, "until": str(deployment.gate)}
    deployment.script({"stages": [written]})
    job_id = deployment.submit(deployment.photo_urls(4, seed=99), priority=9)
    deployment.wait(job_id, until=stages_running("Meshing"))
    with fresh_page(browser) as page:
        page.goto(f"{deployment.service.url}/jobs/{job_id}")
        still = page.evaluate(_FRAMES, 5)
        page.locator("#log-of-Meshing_1").click()
        page.wait_for_function("() => document.querySelectorAll('.log-view span').length > 5")
        found = page.evaluate(_FRAMES, seconds)
    deployment.open_gate()
    print(f"{lines} lines a second for {seconds} s: {found['shown']} shown, {found['frames']:.0f} frames a second,")
    print(f"longest without one {found['longest']:.0f} ms (yardstick, the same page without a log: ", end="")
    print(f"{still['frames']:.0f} frames a second, longest {still['longest']:.0f} ms)")
    deployment.wait(job_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    if (chromium := which("chromium")) is None:
        raise SystemExit("there is no Chromium on this machine; install the Debian package chromium")
    with tempfile.TemporaryDirectory(prefix="pages-") as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with deployed(Path(name) / "service") as deployment:
            log(browser, deployment, options.lines, options.seconds)
            deployment.script({})
            pages(browser, deployment, options.jobs, options.times)
        browser.close()


if __name__ == "__main__":
    main()
