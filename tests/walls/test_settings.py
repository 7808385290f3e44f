"""Hostile settings: what is not a listed attribute, a plain word or a number in its range is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import IMAGES, Site, client, make_site, site
from tests.web.problem import assert_problem

__all__ = ["client", "make_site", "site"]

WORDS = [
    *(
        "$(touch /tmp/x)",
        "`id`",
        "; rm -rf /",
        "| nc evil 1",
        "a && b",
        "a\nb",
        "a\rb",
        "a\x00b",
        "${X_API_KEY}",
        "{cache}",
    ),
    *(
        "@/etc/passwd",
        "--output=/etc/cron.d/x",
        "-x",
        "'",
        '"',
        "\\",
        "a b",
        "../../etc/passwd",
        "%s%n",
        "~root",
        "*",
        "é",
    ),
    *("x" * 101, "", "\u202e", "normal'; --"),
]
NUMBERS = [2**31, -(2**63), 10**400, 1e308 * 10, "1", "1e9", True, None, [], {}, [1], 1.5]
DEEP: Any = {}
for _ in range(28):
    DEEP = {"a": DEEP}


def refused(client: FlaskClient, settings: Any) -> None:
    text = json.dumps({"image_urls": IMAGES, "settings": settings})
    answer = client.post("/api/v1/reconstruct", data=text, content_type="application/json")
    assert answer.status_code in (400, 422), (settings, answer.get_json())
    assert answer.mimetype == "application/problem+json"


def test_texts_and_names(client: FlaskClient) -> None:
    for word in WORDS:
        refused(client, {"FeatureExtraction": {"describerPreset": word}})
        refused(client, {"FeatureExtraction": {"describerTypes": [word]}})
        refused(client, {"FeatureExtraction": {word: "normal"}})
        refused(client, {word: {"describerPreset": "normal"}})
        refused(client, {"Texturing": {"colorMapping": {"colorMappingFileType": word}}})


def test_numbers_and_shapes(client: FlaskClient) -> None:
    for value in NUMBERS:
        refused(client, {"Texturing": {"textureSide": value}})
    for settings in (DEEP, [], "x", 1, {"Texturing": []}, {"Texturing": None}, {"Texturing": {"textureSide": DEEP}}):
        refused(client, settings)
    refused(client, {"FeatureExtraction": {"describerTypes": ["sift"] * 100_000}})
    refused(client, {f"Node_{number}": {} for number in range(10_000)})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000])
def test_numbers_that_json_does_not_know(client: FlaskClient, number: str) -> None:
    body = f'{{"image_urls": {json.dumps(IMAGES)}, "settings": {{"Texturing": {{"textureSide": {number}}}}}}}'
    answer = client.post("/api/v1/reconstruct", data=body, content_type="application/json")
    assert_problem(answer, 400, "malformed_json")


def test_paths_and_links_cannot_be_set(site: Site) -> None:
    """Of any node of any pipeline: nothing that names a file, and nothing that a link sets."""
    for pipeline in site.parts.pipelines:
        for node in pipeline.template.nodes:
            for name, attribute in pipeline.attributes(node).items():
                assert not isinstance(attribute.default, str) or not Path(attribute.default).is_absolute(), (node, name)
                assert name not in ("input", "output", "cache", "folder", "outputFolder"), (node, name)
