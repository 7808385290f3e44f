from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem


@pytest.fixture
def default(client: FlaskClient) -> dict[str, Any]:
    pipelines = {pipeline["name"]: pipeline for pipeline in client.get("/api/v1/pipelines").get_json()["data"]}
    default: dict[str, Any] = pipelines["default"]
    return default


def test_all_pipelines_are_listed(site: Site, client: FlaskClient) -> None:
    data = client.get("/api/v1/pipelines").get_json()["data"]
    assert [pipeline["name"] for pipeline in data] == list(site.parts.pipelines.names)


def test_the_default_pipeline_tells_what_can_be_set(default: dict[str, Any]) -> None:
    types = [stage["node_type"] for stage in default["stages"]]
    assert types[0] == "CameraInit"
    assert "Texturing" in types
    [extraction] = [stage for stage in default["stages"] if stage["node_type"] == "FeatureExtraction"]
    assert extraction["attributes"]["describerPreset"]["type"] == "string"
    assert {stage["queue"] for stage in default["stages"]} <= {"cpu", "gpu"}


def test_every_default_that_is_listed_can_be_sent(client: FlaskClient, default: dict[str, Any]) -> None:
    def value(attribute: dict[str, Any]) -> Any:
        members = attribute["attributes"]
        return {name: value(member) for name, member in members.items()} if members else attribute["default"]

    settings = {
        stage["name"]: {name: value(attribute) for name, attribute in stage["attributes"].items()}
        for stage in default["stages"]
    }
    assert sum(map(len, settings.values())) > 50
    answer = client.post("/api/v1/reconstruct", json={"image_urls": IMAGES, "settings": settings})
    assert answer.status_code == 202, answer.get_data(as_text=True)


def test_every_faulty_setting_is_named(client: FlaskClient) -> None:
    settings = {
        "FeatureExtraction": {"describerPreset": 5, "nonesuch": 1, "maxThreads": 0},
        "Nonesuch": {"a": 1, "b": 2},
        "AlsoNot": {},
    }
    answer = client.post("/api/v1/reconstruct", json={"image_urls": IMAGES, "settings": settings})
    extraction = "/settings/FeatureExtraction"
    places = [f"{extraction}/describerPreset", f"{extraction}/nonesuch", "/settings/Nonesuch", "/settings/AlsoNot"]
    assert_problem(answer, 422, "setting_invalid", *places)


def test_faults_are_counted_only_so_far(client: FlaskClient) -> None:
    settings = {"FeatureExtraction": {f"nonesuch{index}": 1 for index in range(10_000)}}
    answer = client.post("/api/v1/reconstruct", json={"image_urls": IMAGES, "settings": settings})
    assert len(answer.get_json(force=True)["errors"]) == 20
