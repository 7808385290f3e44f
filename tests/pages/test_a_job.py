"""A job's page: as it goes, when it has failed, and when it is cancelled."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.deployment import Deployment, stages_running
from tests.pages.conftest import NARROW, WIDE, Visitor, fits, shoot
from tests.waiting import LONG, eventually

pytestmark = pytest.mark.browser

TIMEOUT = LONG * 1000
CHUNKS = {"block_sizes": {"DepthMap": 2, "FeatureExtraction": 2}}


def test_a_job_is_watched_to_its_end(service: Deployment, visitor: Visitor) -> None:
    retried = {"node_type": "DepthMap", "chunk": 0, "attempts": [1], "fail": {"exit": 1, "lines": ["it broke"]}}
    held = {"node_type": "Meshing", "until": str(service.gate), "lines": ["reading depth maps", "warning: few points"]}
    service.script({**CHUNKS, "stages": [retried, held, {"node_type": "StructureFromMotion", "placed": 5}]})
    job_id = service.submit(service.photo_urls(6, seed=11), metadata={"name": "Oak chair"})
    with visitor.page() as page:
        page.goto("/")
        page.get_by_role("link", name="Oak chair").click()
        page.wait_for_url("**/jobs/*")
        service.wait(job_id, until=stages_running("Meshing"))
        expect(page.get_by_role("row", name=re.compile("^Meshing running"))).to_be_visible(timeout=TIMEOUT)
        expect(page.get_by_role("row", name=re.compile("DepthMap done 2 attempts"))).to_be_visible()
        page.get_by_role("row", name=re.compile("^Meshing")).get_by_role("button", name="Log").click()
        expect(page.get_by_role("log")).to_contain_text("reading depth maps", timeout=TIMEOUT)
        expect(page.locator("#photos .left-out")).to_have_count(1, timeout=TIMEOUT)
        shoot(page, "job-running")
        service.open_gate()
        expect(page.locator("h1 .state")).to_have_text("completed", timeout=TIMEOUT)
        expect(page.get_by_role("link", name=re.compile("^GLB"))).to_be_visible()
        expect(page.locator("#deliveries .state")).to_have_text("succeeded", timeout=TIMEOUT)
        page.locator("#hero").scroll_into_view_if_needed()  # The model is loaded when it is seen.
        expect(page.locator("[data-viewer][data-ready]")).to_be_attached(timeout=TIMEOUT)
        assert fits(page)
    service.callback(job_id)


def test_a_second_job_shows_what_came_from_the_cache(service: Deployment, visitor: Visitor) -> None:
    urls = service.photo_urls(4, seed=12)
    service.wait(service.submit(urls))
    job_id = service.submit(urls, settings={"Texturing": {"textureSide": 1024}})
    service.wait(job_id)
    with visitor.page(NARROW) as page:
        page.goto(f"/jobs/{job_id}")
        expect(page.locator("#timeline h2")).to_contain_text("from the cache")
        assert page.locator("#timeline .bar.cached").count() > 3
        assert fits(page)


def test_a_failure_is_explained(service: Deployment, visitor: Visitor) -> None:
    lines = [f"pair {number} matched" for number in range(30)]
    fatal = "[fatal] the images do not share features"
    service.script({"stages": [{"node_type": "FeatureMatching", "fail": {"exit": 1, "lines": [*lines, fatal]}}]})
    job_id = service.submit(service.photo_urls(4, seed=13), metadata={"name": "Blurred"})
    service.wait(job_id)
    for size, scheme in ((WIDE, "light"), (NARROW, "dark")):
        with visitor.page(size, scheme) as page:
            page.goto(f"/jobs/{job_id}")
            alert = page.get_by_role("alert")
            expect(alert).to_contain_text("What to do:")
            expect(alert.locator("mark").filter(has_text=fatal)).to_be_visible()
            shoot(page, "job-failed")
            assert fits(page)
    service.script({})
    with visitor.page() as page:
        page.goto(f"/jobs/{job_id}")
        page.get_by_role("button", name="Run again, keep what is finished").click()
        expect(page.locator("h1 .state")).to_have_text("completed", timeout=TIMEOUT)


def test_a_job_is_cancelled_and_deleted(service: Deployment, visitor: Visitor) -> None:
    service.script({"stages": [{"node_type": "FeatureExtraction", "hang": True}]})
    job_id = service.submit(service.photo_urls(4, seed=14), metadata={"name": "A mistake"})
    service.computing("FeatureExtraction")
    with visitor.page() as page:
        page.goto("/?status=running")
        card = page.locator(f"#job-{job_id}")
        card.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Yes").click()
        expect(card).not_to_be_attached(timeout=TIMEOUT)  # It is none of those that run.
        page.goto("/?status=cancelled")
        card.get_by_role("button", name="Delete").click()
        shoot(page, "question", full=False)
        page.get_by_role("button", name="Yes").click()
        expect(card).not_to_be_attached(timeout=TIMEOUT)
    assert not service.stage_processes()


def test_a_callback_is_delivered_again(service: Deployment, visitor: Visitor) -> None:
    job_id = service.submit(service.photo_urls(4, seed=15))
    service.wait(job_id)
    service.callback(job_id)
    with visitor.page() as page:
        page.goto(f"/jobs/{job_id}")
        page.get_by_role("button", name="Deliver again").click()
        expect(page.locator("#deliveries .attempts .good")).to_have_count(2, timeout=TIMEOUT)
    service.callback(job_id)


@pytest.mark.parametrize("lines", [30_000])
def test_a_log_of_many_lines_stays_light(service: Deployment, visitor: Visitor, lines: int) -> None:
    written = {"node_type": "Meshing", "lines": [f"line {number}" for number in range(lines)]}
    service.script({"stages": [{**written, "until": str(service.gate)}]})
    job_id = service.submit(service.photo_urls(4, seed=16))
    with visitor.page() as page:
        page.goto(f"/jobs/{job_id}")
        service.wait(job_id, until=stages_running("Meshing"))
        page.get_by_role("row", name=re.compile("^Meshing running")).get_by_role("button", name="Log").click()
        expect(page.get_by_role("log")).to_contain_text(f"line {lines - 1}", timeout=TIMEOUT)
        assert page.locator(".log-view span").count() < 200
        _scroll_to_the_top(page)
        expect(page.get_by_role("log")).not_to_contain_text(f"line {lines - 1}")
        service.open_gate()
    service.wait(job_id)


def test_a_page_keeps_up_with_five_thousand_lines_a_second(service: Deployment, visitor: Visitor) -> None:
    service.script({"stages": [{"node_type": "Meshing", "until": str(service.gate), "lines_a_second": 5000}]})
    job_id = service.submit(service.photo_urls(4, seed=17))
    with visitor.page() as page:
        page.goto(f"/jobs/{job_id}")
        service.wait(job_id, until=stages_running("Meshing"))
        page.get_by_role("row", name=re.compile("^Meshing running")).get_by_role("button", name="Log").click()
        eventually(lambda: int(page.locator("#log-count").get_attribute("data-seen") or 0) > 30_000)
        print("of a hundred frames, longer than 100 ms:", page.evaluate(_LONG_FRAMES))
        assert page.locator(".log-view span").count() < 200
        service.open_gate()
        expect(page.locator("h1 .state")).to_have_text("completed", timeout=TIMEOUT)


_LONG_FRAMES = """() => new Promise((resolve) => {
    let last = performance.now(), slow = 0, left = 100;
    const frame = (now) => {
        if (now - last > 100) slow++;
        last = now;
        if (--left) requestAnimationFrame(frame); else resolve(slow);
    };
    requestAnimationFrame(frame);
})"""


def _scroll_to_the_top(page: Page) -> None:
    page.get_by_role("log").focus()
    page.keyboard.press("Home")
