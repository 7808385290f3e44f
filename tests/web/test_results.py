from __future__ import annotations

import hashlib
import io
import zipfile

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import Site
from tests.web.problem import assert_problem
from web.services import MOST_DOWNLOADS_OF_ONE

FILES = {"texturedMesh.obj": b"v 0 0 0\n" * 1000, "model.glb": b"glTF", "preview.png": b"\x89PNG", "report.json": b"{}"}


@pytest.fixture
def job_id(site: Site) -> str:
    job_id = site.submit()
    site.finish(job_id, FILES)
    return job_id


def test_results_are_listed_with_what_is_needed_to_check_them(site: Site, client: FlaskClient, job_id: str) -> None:
    results = client.get(f"/api/v1/jobs/{job_id}").get_json()["results"]
    assert [result["name"] for result in results] == list(FILES)
    for result in results:
        data = FILES[result["name"]]
        assert (result["size"], result["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert result["url"] == f"{site.settings.base_url}/results/{job_id}/{result['name']}"


@pytest.mark.parametrize(
    ("name", "media_type", "disposition"),
    [
        ("texturedMesh.obj", "model/obj", "attachment"),
        ("model.glb", "model/gltf-binary", "attachment"),
        ("preview.png", "image/png", "inline"),
        ("report.json", "application/json", "inline"),
    ],
)
def test_files_come_with_and_without_a_key(
    client: FlaskClient, visitor: FlaskClient, job_id: str, name: str, media_type: str, disposition: str
) -> None:
    for answer in (client.get(f"/api/v1/jobs/{job_id}/results/{name}"), visitor.get(f"/results/{job_id}/{name}")):
        assert (answer.status_code, answer.data) == (200, FILES[name])
        assert answer.headers["Content-Type"] == media_type
        assert answer.headers["Content-Disposition"] == f'{disposition}; filename="{name}"'
        assert answer.headers["ETag"] == f'"{hashlib.sha256(FILES[name]).hexdigest()}"'


def test_a_viewer_on_any_page_may_load_them(visitor: FlaskClient, job_id: str) -> None:
    headers = visitor.get(f"/results/{job_id}/model.glb").headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Origin" not in visitor.get("/healthz").headers
    preflight = visitor.options(f"/results/{job_id}/model.glb", headers={"Origin": "https://viewer.example.com"})
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"


def test_part_of_a_file(visitor: FlaskClient, job_id: str) -> None:
    answer = visitor.get(f"/results/{job_id}/texturedMesh.obj", headers={"Range": "bytes=8-15"})
    assert (answer.status_code, answer.data) == (206, b"v 0 0 0\n")
    behind = visitor.get(f"/results/{job_id}/texturedMesh.obj", headers={"Range": "bytes=999999-"})
    assert_problem(behind, 416, "range_not_satisfiable")
    assert behind.headers["Content-Range"] == "bytes */8000"


def test_only_the_head(visitor: FlaskClient, job_id: str) -> None:
    answer = visitor.head(f"/results/{job_id}/texturedMesh.obj")
    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", "8000")


@pytest.mark.parametrize(
    "name",
    [
        "nonesuch.obj",
        "..",
        "../../jobs.sqlite",
        "..%2f..%2fjobs.sqlite",
        "%2e%2e/%2e%2e/jobs.sqlite",
        "....//jobs.sqlite",
        ".hidden",
        "texturedMesh.obj%00.png",
        "/etc/passwd",
        "..%5c..%5cjobs.sqlite",
    ],
)
def test_only_results_can_be_fetched(site: Site, client: FlaskClient, job_id: str, name: str) -> None:
    for path in (f"/results/{job_id}/{name}", f"/api/v1/jobs/{job_id}/results/{name}"):
        answer = client.get(path, follow_redirects=True)
        assert answer.status_code == 404, path
        assert b"SQLite" not in answer.data


def test_results_that_storage_has_lost(site: Site, visitor: FlaskClient, job_id: str) -> None:
    site.storage.delete(f"results/{job_id}/model.glb")
    assert_problem(visitor.get(f"/results/{job_id}/model.glb"), 404, "not_found")


def test_all_results_in_one_archive(client: FlaskClient, visitor: FlaskClient, job_id: str) -> None:
    for answer in (client.get(f"/api/v1/jobs/{job_id}/results.zip"), visitor.get(f"/results/{job_id}/all.zip")):
        assert (answer.status_code, answer.content_type) == (200, "application/zip")
        assert answer.content_length == len(answer.data)
        with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_no_archive_of_nothing(site: Site, client: FlaskClient, job_id: str) -> None:
    assert_problem(client.get(f"/api/v1/jobs/{site.submit()}/results.zip"), 404, "not_found")
    site.storage.delete(f"results/{job_id}/model.glb")
    problem = client.get(f"/api/v1/jobs/{job_id}/results.zip")
    assert_problem(problem, 404, "not_found")
    assert "model.glb" in problem.get_json()["detail"]


def test_results_kept_elsewhere(site: Site, visitor: FlaskClient, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def url(key: str, *, seconds: int, **told: str) -> str:
        return f"https://s3.example.com/{key}?sig=1&t={seconds}"

    monkeypatch.setattr(site.storage, "url", url)
    answer = visitor.get(f"/results/{job_id}/model.glb")
    assert answer.status_code == 307
    assert answer.headers["Location"] == f"https://s3.example.com/results/{job_id}/model.glb?sig=1&t=3600"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"


def test_only_so_many_are_sent_at_a_time(site: Site) -> None:
    job_id = site.submit()
    site.finish(job_id, {"model.glb": b"x" * 100})
    paths = (f"/results/{job_id}/model.glb", f"/results/{job_id}/all.zip", f"/api/v1/jobs/{job_id}/results/model.glb")
    client = site.client()
    being_sent = [client.get(paths[number % 3]) for number in range(MOST_DOWNLOADS_OF_ONE)]
    assert {answer.status_code for answer in being_sent} == {200}
    for path in paths:
        busy = client.get(path)
        assert_problem(busy, 503, "too_many_downloads")
        assert int(busy.headers["Retry-After"]) > 0
    for answer in being_sent:
        answer.close()
    assert client.get(paths[0]).status_code == 200
