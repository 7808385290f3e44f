"""From photos on a disk to a job, as a person does it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.deployment import Deployment, write_photos
from tests.pages.conftest import NARROW, Visitor, drop, fits, shoot
from tests.waiting import LONG

pytestmark = pytest.mark.browser

TIMEOUT = LONG * 1000


def photos(folder: Path, count: int, seed: int) -> list[Path]:
    return [folder / name for name in write_photos(folder, count, seed)]


def test_photos_are_dropped_and_become_a_job(service: Deployment, visitor: Visitor, tmp_path: Path) -> None:
    files = photos(tmp_path, 16, 21)
    twice, broken = tmp_path / "copy.jpg", tmp_path / "broken.jpg"
    twice.write_bytes(files[0].read_bytes())
    broken.write_bytes(b"no picture at all")
    with visitor.page() as page:
        page.goto("/")
        page.get_by_role("link", name="New job").first.click()
        drop(page, "#drop", [*files, twice, broken])
        expect(page.locator("#chosen canvas")).to_have_count(17)
        expect(page.locator("#chosen .again .name")).to_have_text("chosen twice")
        expect(page.locator("#chosen .out .name")).to_have_text("cannot be read")
        page.get_by_label("Name").fill("A stone jar")
        page.get_by_label("Draft").check()
        page.get_by_text("Settings", exact=True).click()
        page.get_by_label("Size of a texture").locator("visible=true").select_option(label="1,024")
        shoot(page, "new-job")
        assert fits(page)
        page.get_by_role("button", name="Start with 16 photos").click()
        expect(page.get_by_role("heading", name="A stone jar")).to_be_visible()
        job_id = page.url.rpartition("/")[2]
        expect(page.locator("h1 .state")).to_have_text("completed", timeout=TIMEOUT)
    job = service.wait(job_id)
    assert (job["pipeline"], job["image_count"]) == ("draft", 16)
    assert job["settings"] == {"Texturing": {"textureSide": 1024}}
    assert job["metadata"] == {"name": "A stone jar"}


def test_what_is_chosen_before_the_script_has_come_is_not_lost(
    service: Deployment, visitor: Visitor, tmp_path: Path
) -> None:
    held: list[Route] = []
    with visitor.page() as page:
        page.route("**/js/new_job.*", lambda route: held.append(route))
        page.goto("/new", wait_until="commit")
        page.locator("#files").set_input_files(photos(tmp_path, 3, 25))
        page.wait_for_timeout(500)
        assert held
        assert page.locator("#chosen li").count() == 0
        for route in held:
            route.continue_()
        expect(page.get_by_role("button", name="Start with 3 photos")).to_be_enabled()


def test_a_connection_that_breaks_off_costs_nothing(service: Deployment, visitor: Visitor, tmp_path: Path) -> None:
    visitor.expected = ("ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION")
    tries: dict[str, int] = {}

    def unreliable(route: Route) -> None:
        """The first try of every other file is lost, and its answer is lost of every third."""
        address = route.request.url
        tries[address] = tries.get(address, 0) + 1
        number = int(address.rpartition("/")[2])
        if tries[address] == 1 and number % 2 == 0:
            route.abort("internetdisconnected")
        elif tries[address] == 1 and number % 3 == 0:
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    with visitor.page(NARROW, "dark") as page:
        page.goto("/new")
        page.route("**/files/*", unreliable)
        _choose(page, photos(tmp_path, 6, 22))
        page.get_by_role("button", name="Start with 6 photos").click()
        expect(page.locator("h1 .state")).to_be_visible(timeout=TIMEOUT)
        job_id = page.url.rpartition("/")[2]
    assert service.wait(job_id)["image_count"] == 6
    assert max(tries.values()) == 2


def test_an_upload_goes_on_after_the_page_was_closed(service: Deployment, visitor: Visitor, tmp_path: Path) -> None:
    files = photos(tmp_path, 5, 23)
    sent: list[str] = []
    closed: list[bool] = []

    def two_before_it_is_closed(route: Route) -> None:
        """What else is sent hangs."""
        if closed or len(sent) < 2:
            sent.append(route.request.url)
            route.continue_()

    with visitor.page() as page:
        page.goto("/new")
        page.route("**/files/*", two_before_it_is_closed)
        _choose(page, files)
        page.get_by_role("button", name="Start with 5 photos").click()
        expect(page.locator("#chosen .sent")).to_have_count(2, timeout=TIMEOUT)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto("/new")
        closed.append(True)
        expect(page.get_by_text("An upload of 5 photos broke off here")).to_be_visible()
        _choose(page, files)
        page.get_by_role("button", name="Start with 5 photos").click()
        expect(page.locator("h1 .state")).to_be_visible(timeout=TIMEOUT)
        assert len(sent) == len(set(sent)) == len(files)
        job_id = page.url.rpartition("/")[2]
    assert service.wait(job_id)["image_count"] == 5


def test_addresses_are_pasted_and_a_fault_is_told(service: Deployment, visitor: Visitor) -> None:
    visitor.expected = ("422",)
    with visitor.page() as page:
        page.goto("/new")
        page.get_by_text("Or paste addresses").click()
        page.get_by_label("Addresses, one on a line").fill("\n".join(service.photo_urls(3, seed=24)))
        page.get_by_text("Settings", exact=True).click()
        page.get_by_label("Any other setting").fill("Meshing.maxPoint=5")
        page.get_by_role("button", name="Start with 3 photos").click()
        expect(page.get_by_role("alert")).to_contain_text("maxPoint", timeout=TIMEOUT)
        page.get_by_label("Any other setting").fill("")
        page.get_by_role("button", name="Start with 3 photos").click()
        expect(page.locator("h1 .state")).to_be_visible(timeout=TIMEOUT)


def _choose(page: Page, files: list[Path]) -> None:
    page.locator("#files").set_input_files(files)
    expect(page.locator("#chosen canvas")).to_have_count(len(files))
