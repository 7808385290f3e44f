"""Pages in a real browser, each watched for errors in its console and for requests that leave the origin."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from meshroom_tasks.settings import PROJECT
from tests.deployment import Deployment, deployed
from tests.servers import apt
from tests.waiting import LONG

expect.set_options(timeout=LONG * 1000)

SHOTS = PROJECT / "build" / "screenshots"
WIDE, NARROW = (1400, 900), (390, 844)
_PACKAGE = "chromium"
_FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
)


_SLOW = ("GPU stall", "rAF timed out")
"""What a browser that draws without a graphics card warns of."""


@dataclass
class Visitor:
    """Somebody at a browser. `complaints`: what the console said, and what left the origin."""

    browser: Browser
    origin: str
    complaints: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of messages that a test provokes."""

    @contextmanager
    def page(self, size: tuple[int, int] = WIDE, scheme: str = "light") -> Iterator[Page]:
        """A page of a browser of its own; afterwards nothing was wrong in it."""
        dark = scheme == "dark"
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            base_url=self.origin,
            accept_downloads=True,
        )
        context.set_default_timeout(LONG * 1000)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._asked)
        try:
            yield page
        finally:
            context.close()
        found = [one for one in self.complaints if not any(part in one for part in self.expected)]
        assert found == []

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in _SLOW):
            self.complaints.append(f"{message.type}: {message.text} ({message.location})")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.complaints.append(f"off the origin: {request.url}")


def shoot(page: Page, name: str, *, full: bool = True) -> None:
    """A screenshot, to be looked at: `build/screenshots/<name>-<width>-<scheme>.png`."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    width = page.viewport_size["width"] if page.viewport_size else 0
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.screenshot(path=SHOTS / f"{name}-{width}-{'dark' if dark else 'light'}.png", full_page=full)


def fits(page: Page) -> bool:
    """Whether nothing makes the page wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if (found := _chromium()) is None:
        pytest.skip(f"Chromium is missing: install the Debian package {_PACKAGE}, or run the tests as root on Debian")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield running
        running.close()


def _chromium() -> str | None:
    if (found := shutil.which(_PACKAGE)) is None:
        apt.install(_PACKAGE)
        found = shutil.which(_PACKAGE)
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One service for the tests of a module, as `make up` starts it: its pages are open."""
    with deployed(tmp_path_factory.mktemp("pages")) as deployment:
        yield deployment


@pytest.fixture
def visitor(browser: Browser, service: Deployment) -> Visitor:
    service.script({})
    service.close_gate()
    return Visitor(browser, service.service.url)


def drop(page: Page, selector: str, files: list[Path]) -> None:
    """Let files fall on an element, as from a folder of the desktop, once the page's scripts have run."""
    page.locator(selector).wait_for()
    page.wait_for_load_state()
    contents = [(path.name, path.read_bytes().hex()) for path in files]
    page.evaluate(
        """([selector, files]) => {
            const transfer = new DataTransfer();
            for (const [name, hex] of files) {
                const bytes = Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
                const type = name.endsWith(".jpg") ? "image/jpeg" : "";
                transfer.items.add(new File([bytes], name, { type }));
            }
            const target = document.querySelector(selector);
            for (const kind of ["dragenter", "dragover", "drop"]) {
                target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
            }
        }""",
        [selector, contents],
    )
