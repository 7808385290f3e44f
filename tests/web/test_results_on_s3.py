"""Results that lie in S3: the address of the API stays, what it leads to is made anew each time."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
import requests

from tests.servers.seaweedfs import SeaweedFS
from tests.web.conftest import Site
from tests.web.problem import assert_problem
from tests.web.test_results import FILES


@pytest.fixture
def make_s3_site(make_site: Callable[..., Site], seaweedfs: SeaweedFS) -> Callable[..., Site]:
    def make(**overrides: object) -> Site:
        return make_site(**seaweedfs.settings(f"web-{uuid.uuid4().hex}", **overrides))

    return make


def test_a_result_is_fetched_from_the_store(make_s3_site: Callable[..., Site]) -> None:
    site = make_s3_site()
    job_id = site.submit()
    site.finish(job_id, FILES)
    for name, media_type, disposition in (
        ("model.glb", "model/gltf-binary", "attachment"),
        ("preview.png", "image/png", "inline"),
    ):
        for answer in (
            site.visitor().get(f"/results/{job_id}/{name}"),
            site.client().get(f"/api/v1/jobs/{job_id}/results/{name}"),
        ):
            assert (answer.status_code, answer.headers["Cache-Control"]) == (307, "no-store")
            fetched = requests.get(answer.headers["Location"], timeout=60, headers={"Origin": "https://x.example.com"})
            assert (fetched.status_code, fetched.content) == (200, FILES[name])
            assert fetched.headers["Content-Type"] == media_type
            assert fetched.headers["Content-Disposition"] == f'{disposition}; filename="{name}"'
            assert fetched.headers["Access-Control-Allow-Origin"] in ("*", "https://x.example.com")
    assert_problem(site.client().get(f"/api/v1/jobs/{job_id}/results/model.gltf"), 404, "not_found")


def test_where_clients_do_not_reach_the_store_the_app_sends_it(make_s3_site: Callable[..., Site]) -> None:
    site = make_s3_site(aws_presigned_urls=False)
    job_id = site.submit()
    site.finish(job_id, FILES)
    whole = site.visitor().get(f"/results/{job_id}/texturedMesh.obj")
    assert (whole.status_code, whole.data) == (200, FILES["texturedMesh.obj"])
    part = site.visitor().get(f"/results/{job_id}/texturedMesh.obj", headers={"Range": "bytes=8-15"})
    assert (part.status_code, part.data) == (206, b"v 0 0 0\n")
    site.storage.delete(f"results/{job_id}/model.glb")
    assert_problem(site.visitor().get(f"/results/{job_id}/model.glb"), 404, "not_found")


def test_the_app_is_not_ready_without_the_store(make_s3_site: Callable[..., Site]) -> None:
    away = {"aws_endpoint_url": "http://127.0.0.1:9"}
    for settings, outcome in (({}, None), (away, "unavailable"), ({"aws_secret_access_key": "another"}, "unavailable")):
        answer = make_s3_site(**settings).visitor().get("/readyz")
        assert answer.status_code == 503, "there are no workers"
        checks = answer.get_json(force=True)["checks"]
        assert checks["storage"] == (outcome or "ok")
