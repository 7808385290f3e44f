"""A model that the CPU engine made of a known object, turned in the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from demo.scene import model, photograph, shots, write_photo
from demo.stand import Stand, stand
from tests.pages.conftest import NARROW, WIDE, Visitor, fits, shoot
from tests.waiting import LONG

pytestmark = pytest.mark.browser

TIMEOUT = LONG * 1000
_PHOTOS = 8
_SETTINGS = {"Texturing": {"textureSide": 1024}}
_OUTPUTS = ["obj", "glb", "usdz", "ply"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stand, str]]:
    """A running service with one finished job."""
    with _finished(tmp_path_factory.mktemp("result")) as made:
        yield made


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stand, str]]:
    """The same where each model counts as a large one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHT_GLB_FROM_BYTES", "1")
        with _finished(tmp_path_factory.mktemp("heavy")) as made:
            yield made


@contextmanager
def _finished(folder: Path) -> Iterator[tuple[Stand, str]]:
    photos = folder / "photos"
    photos.mkdir()
    scene, random = model(), np.random.default_rng(1)
    names = [f"jar-{index:02d}.jpg" for index in range(_PHOTOS)]
    for name, shot in zip(names, shots(), strict=False):
        write_photo(photos / name, photograph(scene, shot, random))
    with stand(folder / "data", photos, cpu_workers=1) as running:
        running.service.start()
        assert running.service.wait_until_ready()
        urls = [running.url_of(name) for name in names]
        more = {"pipeline": "draft", "settings": _SETTINGS, "metadata": {"name": "Malachite jar"}, "outputs": _OUTPUTS}
        job_id = running.client.submit(urls, running.receiver.url, **more)
        *_, job = running.client.follow(job_id)
        assert job["status"] == "completed", job
        yield running, job_id


@pytest.fixture
def visitor(browser: Browser, made: tuple[Stand, str]) -> Visitor:
    return Visitor(browser, made[0].service.url)


def test_the_model_is_turned_and_downloaded(made: tuple[Stand, str], visitor: Visitor, tmp_path: Path) -> None:
    with visitor.page() as page:
        page.goto(f"/jobs/{made[1]}")
        expect(page.locator("#viewer > .poster")).to_have_js_property("complete", True)
        _wait_for_model(page)
        shoot(page, "result", full=False)
        before = _orbit(page)
        _drag(page)
        page.wait_for_function(_TURNED, arg=before)
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile("^GLB")).click()
        download.value.save_as(tmp_path / "model.glb")
    assert (tmp_path / "model.glb").read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize("look", [(WIDE, "light"), (NARROW, "dark")])
def test_a_light_copy_comes_first(
    heavy: tuple[Stand, str], browser: Browser, look: tuple[tuple[int, int], str]
) -> None:
    with Visitor(browser, heavy[0].service.url).page(*look) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
        page.goto(f"/jobs/{heavy[1]}")
        _wait_for_model(page, "model.light.glb")
        assert "model.glb" not in asked
        before = _orbit(page)
        _drag(page)
        page.wait_for_function(_TURNED, arg=before)
        shoot(page, "light copy", full=False)
        page.get_by_role("button", name=re.compile("^Full detail")).click()
        _wait_for_model(page, "model.glb")
        expect(page.get_by_role("button", name=re.compile("^Full detail"))).to_be_hidden()
        shoot(page, "full detail", full=False)
        assert fits(page)


def test_other_formats_are_offered(made: tuple[Stand, str], visitor: Visitor) -> None:
    with visitor.page() as page:
        page.goto(f"/jobs/{made[1]}")
        for name, media_type in (("model.usdz", "model/vnd.usdz+zip"), ("model.ply", "model/ply")):
            link = page.locator("#downloads").get_by_role("link", name=name)
            expect(link).to_have_attribute("type", media_type)
            with page.expect_download() as download:
                link.click()
            assert download.value.suggested_filename == name
        # Only Safari on a phone knows of it.
        expect(page.locator("a[rel='ar']")).to_have_count(1)
        expect(page.locator("a[rel='ar']")).to_be_hidden()


@pytest.mark.parametrize("look", [(WIDE, "dark"), (NARROW, "light")])
def test_the_cameras_around_it(made: tuple[Stand, str], visitor: Visitor, look: tuple[tuple[int, int], str]) -> None:
    with visitor.page(*look) as page:
        page.goto(f"/jobs/{made[1]}")
        _wait_for_model(page)
        page.get_by_role("button", name="Cameras").click()
        expect(page.locator(".viewer-note")).to_contain_text(re.compile(r"^\d cameras around [\d,]+ sparse points"))
        canvas = page.locator("canvas.cloud")
        canvas.press("ArrowLeft")
        page.wait_for_function(_DRAWN)
        shoot(page, "cameras")
        assert fits(page)
        page.get_by_role("button", name="Model", exact=True).click()
        expect(canvas).to_be_hidden()
        page.get_by_role("button", name="Full screen").click()
        page.wait_for_function("() => document.fullscreenElement !== null")


def test_meshrooms_cameras_stand_around_its_mesh(made: tuple[Stand, str], visitor: Visitor) -> None:
    """Its scene holds no points, and its mesh is turned against it."""
    with visitor.page() as page:
        scene = page.request.get(f"/jobs/{made[1]}/files/cameras.sfm").json()
        report = page.request.get(f"/jobs/{made[1]}/files/report.json").json()
        assert report["mesh"]["turned"] is False
        scene["structure"] = []
        report["mesh"]["turned"] = True
        page.route("**/files/cameras.sfm", lambda route: route.fulfill(json=scene))
        page.route("**/files/report.json", lambda route: route.fulfill(json=report))
        page.goto(f"/jobs/{made[1]}")
        _wait_for_model(page)
        page.get_by_role("button", name="Cameras").click()
        expect(page.locator(".viewer-note")).to_contain_text(
            re.compile(r"^\d cameras around [\d,]+ points of the model")
        )
        page.wait_for_function(_DRAWN)
        straight, turned = page.evaluate(_POSED, scene)
    for before, after in zip(straight, turned, strict=True):
        x, y, z = before["centre"]
        assert after["centre"] == [x, -y, -z]
        assert after["rotation"] == [*before["rotation"][:3], *(-value for value in before["rotation"][3:])]


_POSED = """async (scene) => {
    const { posed } = await import(document.querySelector("script[src$='main.js']").src.replace("main.js", "cloud.js"));
    return [posed(scene, false), posed(scene, true)];
}"""
_TURNED = "before => Math.abs(document.querySelector('model-viewer').getCameraOrbit().theta - before) > 0.1"
_DRAWN = "() => document.querySelector('canvas.cloud').width > 0"


def _wait_for_model(page: Page, name: str = "model.glb") -> None:
    expect(page.locator(f"[data-viewer][data-ready='{name}']")).to_be_attached(timeout=TIMEOUT)


def _drag(page: Page) -> None:
    """Across the middle of the model, as with a mouse."""
    model = page.locator("model-viewer")
    model.scroll_into_view_if_needed()
    box = model.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 180, y, steps=6)
    page.mouse.up()


def _orbit(page: Page) -> float:
    return float(page.evaluate("document.querySelector('model-viewer').getCameraOrbit().theta"))
