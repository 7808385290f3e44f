from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.errors import AddressNotAllowed
from meshroom_tasks.jobs.records import OPTIONAL_EVENTS
from tests.web.conftest import Site
from web.schemas.requests import RECONSTRUCTION_EXAMPLES
from web.schemas.uploads import NEW_UPLOAD_EXAMPLES

Document = dict[str, Any]


@pytest.fixture
def document(visitor: FlaskClient) -> Document:
    document: Document = visitor.get("/openapi.json").get_json()
    return document


def operations(document: Document) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_it_is_openapi_31(document: Document) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"]
    assert document["info"]["version"]
    scheme = document["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-API-Key")
    assert document["servers"] == [{"url": "/"}]
    tags = [tag["name"] for tag in document["tags"]]
    assert len(tags) == len(set(tags))
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} == set(tags)


def test_it_has_every_route_and_no_other(site: Site, document: Document) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in site.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith("/docs") and rule.rule not in ("/openapi.json", "/metrics")
        if not rule.endpoint.startswith("pages_")
    }
    assert {(path, method) for path, method, _ in operations(document)} == routes


def test_every_reference_leads_somewhere(document: Document) -> None:
    found = set(references(document))
    assert len(found) > 10
    for reference in found:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place


def test_every_operation_is_described(document: Document) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations(document):
        assert operation["summary"], path
        assert any(status[0] == "2" for status in operation["responses"]), (path, method)
        assert all(answer["description"] for answer in operation["responses"].values())
        named = set(re.findall(r"{(\w+)}", path))
        in_path = {item["name"] for item in operation["parameters"] if item["in"] == "path"}
        assert named == in_path
        assert all(item["required"] for item in operation["parameters"] if item["in"] == "path")


def test_what_needs_the_key_says_so(document: Document) -> None:
    assert document["security"] == [{"ApiKey": []}]
    for path, method, operation in operations(document):
        if path.startswith("/api/"):
            scope = "admin" if path == "/api/v1/workers" else "read" if method == "get" else "submit"
            assert (operation["security"], operation["x-scope"]) == ([{"ApiKey": []}], scope)
            assert {"401", "403", "429"} <= set(operation["responses"])
        else:
            assert operation["security"] == []


def test_every_error_is_a_problem(document: Document) -> None:
    for path, _, operation in operations(document):
        assert "default" in operation["responses"]
        for status, answer in operation["responses"].items():
            if status == "default" or status[0] in "45":
                assert list(answer["content"]) == ["application/problem+json"], path
            elif status[0] == "3" or status == "204":
                assert "content" not in answer, path
    assert "`address_not_allowed`" in document["info"]["description"]
    assert AddressNotAllowed.code == "address_not_allowed"


def test_component_names_are_plain(document: Document) -> None:
    assert all(name.isidentifier() for name in document["components"]["schemas"])


def test_examples_are_accepted(client: FlaskClient) -> None:
    for name, example in RECONSTRUCTION_EXAMPLES.items():
        answer = client.post("/api/v1/reconstruct", json=example["value"])
        refused = answer.get_json(force=True).get("code")
        assert answer.status_code == 202 or (name, refused) == ("uploads", "upload_unknown"), name
    for name, example in NEW_UPLOAD_EXAMPLES.items():
        assert client.post("/api/v1/uploads", json=example["value"]).status_code == 201, name


def test_answers_have_the_fields_of_their_schemas(site: Site, client: FlaskClient, document: Document) -> None:
    schemas = document["components"]["schemas"]
    job = client.get(f"/api/v1/jobs/{site.submit()}").get_json()
    assert set(job) == set(schemas["Job"]["properties"]) == set(schemas["Job"]["required"])
    upload = client.post("/api/v1/uploads", json={"files": [{"name": "1.jpg", "size": 1}]}).get_json()
    assert set(upload) == set(schemas["Upload"]["properties"]) == set(schemas["Upload"]["required"])
    assert set(upload["files"][0]) == set(schemas["UploadedFile"]["properties"])
    problem = client.post("/api/v1/reconstruct", json={}).get_json(force=True)
    assert set(problem) == set(schemas["Problem"]["properties"])
    assert set(problem["errors"][0]) == set(schemas["Fault"]["properties"])


def test_limits_of_the_deployment_stand_in_it(site: Site, document: Document) -> None:
    images = document["components"]["schemas"]["Reconstruction"]["properties"]["image_urls"]
    assert (images["minItems"], images["maxItems"]) == (1, site.settings.max_images)


def test_callbacks_are_documented(document: Document) -> None:
    assert set(document["webhooks"]) == {"job.completed", "job.failed", *OPTIONAL_EVENTS}
    completed = document["components"]["schemas"]["CompletedCallback"]["properties"]
    assert {"job_id", "status", "result_url", "metadata"} <= set(completed)
    failed = document["components"]["schemas"]["FailedCallback"]["properties"]
    assert {"job_id", "status", "error", "error_code", "metadata"} <= set(failed)


def test_documented_callbacks_are_the_ones_that_are_sent() -> None:
    from meshroom_tasks.jobs.notices import completed_notice, failed_notice
    from meshroom_tasks.jobs.records import ErrorView, ResultFile
    from web.schemas.callbacks import CompletedCallback, FailedCallback

    result = ResultFile("texturedMesh.obj", "results/x/texturedMesh.obj", 1, "00", "model/obj")
    CompletedCallback.model_validate(completed_notice("x", {"a": 1}, [result], "http://h"))
    FailedCallback.model_validate(failed_notice("x", {"a": 1}, ErrorView("no_surface", "Nothing there.")))


def test_every_callback_has_an_example_of_its_form(document: Document) -> None:
    from web.schemas import callbacks

    for event, item in document["webhooks"].items():
        name = item["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema = document["components"]["schemas"][name]
        (example,) = schema["examples"]
        assert set(example) == set(schema["properties"]) == set(schema["required"])
        assert event == example.get("type", f"job.{example.get('status')}")
        getattr(callbacks, name).model_validate(example)
