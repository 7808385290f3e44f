"""The list of jobs, the workers, and signing in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.deployment import Deployment, deployed
from tests.pages.conftest import NARROW, WIDE, Visitor, fits, shoot
from tests.waiting import LONG

pytestmark = pytest.mark.browser

TIMEOUT = LONG * 1000
KEY = "a-key-for-the-pages-1234567890"
LOOKS = [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One that was started with a key of somebody's own: its pages ask for it."""
    with deployed(tmp_path_factory.mktemp("pages"), x_api_key=KEY) as deployment:
        yield deployment


def sign_in(visitor: Visitor, page, to: str = "/") -> None:  # type: ignore[no-untyped-def]
    page.goto(to)
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_signing_in_and_out(visitor: Visitor) -> None:
    visitor.expected = ("401",)
    with visitor.page() as page:
        page.goto("/workers")
        page.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("This is no valid key.")
        shoot(page, "sign-in")
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Workers")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.goto("/")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_list_lives(service: Deployment, visitor: Visitor) -> None:
    with visitor.page() as page:
        sign_in(visitor, page)
        expect(page.get_by_text("Photos in, a textured model out")).to_be_visible()
        shoot(page, "jobs-empty")
        service.script({"stages": [{"node_type": "DepthMap", "until": str(service.gate)}]})
        held = service.submit(service.photo_urls(4, seed=31), metadata={"name": "Bronze horse"})
        done = service.submit(service.photo_urls(5, seed=32), pipeline="draft", metadata={"name": "Tea pot"})
        service.submit([service.url_of("nothing-1.jpg")] * 3, metadata={"name": "Nowhere"})
        page.goto("/")
        expect(page.locator(f"#job-{done} .state")).to_have_text("completed", timeout=TIMEOUT)
        expect(page.locator(f"#job-{held}")).to_contain_text("DepthMap", timeout=TIMEOUT)
        expect(page.locator(".state.failed")).to_have_count(1, timeout=TIMEOUT)
    for size, scheme in LOOKS:
        with visitor.page(size, scheme) as page:
            sign_in(visitor, page)
            expect(page.locator(f"#job-{held} img")).to_have_js_property("complete", True)
            shoot(page, "jobs")
            assert fits(page)
            page.get_by_role("link", name="Completed").click()
            expect(page.locator(".job-card")).to_have_count(1)
    service.open_gate()
    service.wait(held)


def asked_again(page: Page) -> list[str]:
    """What the page asks for from now on, to show what is new."""
    asked: list[str] = []
    page.on("request", lambda request: request.headers.get("x-requested-with") == "live" and asked.append(request.url))
    return asked


def test_the_list_is_told_of_what_is_new_and_does_not_ask(service: Deployment, visitor: Visitor) -> None:
    service.script({"stages": [{"node_type": "DepthMap", "until": str(service.gate)}]})
    held = service.submit(service.photo_urls(4, seed=41), metadata={"name": "Waits at the gate"})
    service.computing("DepthMap")
    with visitor.page() as page:
        sign_in(visitor, page)
        with page.expect_response("**/jobs/events*") as told:
            page.goto("/")
        assert told.value.headers["content-type"].startswith("text/event-stream")
        expect(page.locator(f"#job-{held}")).to_contain_text("DepthMap")
        page.wait_for_timeout(1000)  # What it was about to ask before it was told.
        asked = asked_again(page)
        page.wait_for_timeout(5000)
        assert len(asked) <= 2, "it asks without being told, apart from what time alone changes"
        another = service.submit(service.photo_urls(4, seed=42), metadata={"name": "Came later"})
        expect(page.locator(f"#job-{another}")).to_be_visible()
        assert asked
        service.open_gate()
        expect(page.locator(f"#job-{another} .state")).to_have_text("completed", timeout=TIMEOUT)
        gone = requests.delete(f"{visitor.origin}/api/v1/jobs/{another}", headers={"X-API-Key": KEY}, timeout=LONG)
        assert gone.status_code == 204
        expect(page.locator(f"#job-{another}")).not_to_be_attached()


def test_without_the_stream_the_list_asks(service: Deployment, visitor: Visitor) -> None:
    visitor.expected = ("503",)
    with visitor.page() as page:
        sign_in(visitor, page)
        page.route("**/jobs/events*", lambda route: route.fulfill(status=503))
        page.goto("/")
        asked = asked_again(page)
        job_id = service.submit(service.photo_urls(4, seed=43), metadata={"name": "Asked for"})
        expect(page.locator(f"#job-{job_id}")).to_be_visible()
        expect(page.locator(f"#job-{job_id} .state")).to_have_text("completed", timeout=TIMEOUT)
        assert asked


def test_the_workers_and_what_they_do(service: Deployment, visitor: Visitor) -> None:
    service.script({"stages": [{"node_type": "FeatureExtraction", "until": str(service.gate)}]})
    job_id = service.submit(service.photo_urls(4, seed=33))
    service.computing("FeatureExtraction")
    for size, scheme in LOOKS[::3]:
        with visitor.page(size, scheme) as page:
            sign_in(visitor, page, "/workers")
            expect(page.get_by_role("link", name="FeatureExtraction")).to_have_attribute("href", f"/jobs/{job_id}")
            shoot(page, "workers")
            assert fits(page)
    service.open_gate()
    service.wait(job_id)


def test_the_keyboard_is_enough(service: Deployment, browser: Browser, visitor: Visitor, tmp_path: Path) -> None:
    job_id = service.submit(service.photo_urls(4, seed=34), metadata={"name": "By keyboard"})
    service.wait(job_id)
    with visitor.page() as page:
        sign_in(visitor, page)
        page.get_by_role("link", name="By keyboard").focus()
        page.keyboard.press("Tab")
        expect(page.locator(f"#delete-{job_id}")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.locator(f"#delete-{job_id}").press("Enter")
        page.get_by_role("button", name="Yes").press("Enter")
        expect(page.locator(f"#job-{job_id}")).not_to_be_attached(timeout=TIMEOUT)
