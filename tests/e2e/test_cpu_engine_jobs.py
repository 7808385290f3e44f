"""Real reconstructions over HTTP with the CPU engine.

`RECON_TEST_PHOTOS` names a folder of real photos of one object (23 of 800 px were used to set the limits below);
without it that test is skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from demo.accuracy import measure_results
from demo.scene import render_photos
from tests.deployment import Deployment, deployed

REAL_PHOTOS = os.environ.get("RECON_TEST_PHOTOS", "")


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("cpu")
    with deployed(folder, meshroom_batch="", meshroom_compute="", cpu_workers=1) as deployment:
        yield deployment


class KnownObject(NamedTuple):
    """Photos that the deployment offers, and the folder with the shape that they show."""

    names: list[str]
    truth: Path


@pytest.fixture(scope="module")
def known_object(cpu: Deployment, tmp_path_factory: pytest.TempPathFactory) -> KnownObject:
    truth = tmp_path_factory.mktemp("known") / "truth"
    return KnownObject(render_photos(cpu.photos, truth), truth)


def download_results(deployment: Deployment, job: dict[str, Any], folder: Path) -> None:
    folder.mkdir()
    for item in job["results"]:
        deployment.client.download(item["url"], folder / item["name"])


def engine_usage(job: dict[str, Any]) -> list[dict[str, float]]:
    return [chunk["usage"] for stage in job["stages"] for chunk in stage["chunks"] if chunk["usage"]]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_known_object_is_recovered(cpu: Deployment, known_object: KnownObject, tmp_path: Path) -> None:
    names = known_object.names
    job = cpu.wait(cpu.submit([cpu.url_of(name) for name in names]), seconds=1500)
    assert job["status"] == "completed", job["error"]
    download_results(cpu, job, tmp_path / "results")
    accuracy = measure_results(tmp_path / "results", known_object.truth)
    assert "Normal_1001.png" in {item["name"] for item in job["results"]}
    assert job["quality"]["photos_used"] == len(names)
    assert accuracy.accurate >= 0.99, accuracy
    assert accuracy.recovered >= 0.95, accuracy


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("pipeline", ["draft", "large", "object"])
def test_every_pipeline_makes_a_textured_mesh(cpu: Deployment, known_object: KnownObject, pipeline: str) -> None:
    """`default` is the test above. Half of its photos, with coarse depth maps."""
    names = known_object.names[:10]
    settings: dict[str, Any] = {"Texturing": {"textureSide": 1024}}
    if pipeline != "draft":
        settings["DepthMap"] = {"downscale": 4}
    urls = [cpu.url_of(name) for name in names]
    job = cpu.wait(cpu.submit(urls, pipeline=pipeline, settings=settings), seconds=1500)
    assert job["status"] == "completed", job["error"]
    results = {item["name"] for item in job["results"]}
    assert {"texturedMesh.obj", "texturedMesh.mtl", "texture_1001.png", "model.glb"} <= results
    assert ("Normal_1001.png" in results) is (pipeline == "object")
    assert job["quality"]["photos_used"] >= 8
    assert job["quality"]["faces"] > 1000
    assert job["quality"]["coverage"] > 0.9


@pytest.mark.slow
@pytest.mark.timeout(2000)
@pytest.mark.skipif(not REAL_PHOTOS, reason="RECON_TEST_PHOTOS names no folder of photos")
def test_real_photos(cpu: Deployment, tmp_path: Path) -> None:
    photos = sorted(path for path in Path(REAL_PHOTOS).iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for path in photos:
        shutil.copy(path, cpu.photos / path.name)
    job = cpu.wait(cpu.submit([cpu.url_of(path.name) for path in photos]), seconds=1700)
    assert job["status"] == "completed", job["error"]
    quality, usage = job["quality"], engine_usage(job)
    assert quality["photos_used"] >= len(photos) - 1
    assert quality["reprojection_error_px"] <= 0.7
    assert quality["faces"] >= 60_000
    assert quality["coverage"] >= 0.95
    assert sum(chunk["cpu_seconds"] for chunk in usage) <= 150
    assert max(chunk["peak_bytes"] for chunk in usage) <= 1.5e9
    download_results(cpu, job, tmp_path / "results")
    preview = np.asarray(Image.open(tmp_path / "results" / "preview.png").convert("RGB"), dtype=float)
    assert preview.std() > 25, "the picture shows something"


@pytest.mark.slow
def test_photos_of_unrelated_noise(cpu: Deployment) -> None:
    names = []
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(cpu.photos / f"noise_{number}.jpg")
        names.append(f"noise_{number}.jpg")
    job = cpu.wait(cpu.submit([cpu.url_of(name) for name in names]), seconds=600)
    assert job["status"] == "failed"
    assert job["error"]["code"] in ("photos_do_not_overlap", "photos_without_calibration"), job["error"]
    assert job["error"]["log_tail"]
    assert cpu.callback(job["id"])["error_code"] == job["error"]["code"]


def test_a_setting_that_the_engine_does_not_honour(cpu: Deployment) -> None:
    urls = cpu.photo_urls(3, seed=9)
    job = cpu.wait(cpu.submit(urls, settings={"Texturing": {"unwrapMethod": "ABF"}}))
    assert job["status"] == "failed"
    assert (job["error"]["code"], job["error"]["stage"]) == ("setting_invalid", "plan")
    assert "Texturing.unwrapMethod" in job["error"]["message"]
