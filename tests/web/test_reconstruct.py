from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.jobs.records import NO_CAMERA, Camera
from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem
from web.schemas.requests import MAX_METADATA_BYTES

URL = "/api/v1/reconstruct"
CALLBACK = "https://shop.example.com/hook?token=s3cret"
PUBLIC = "https://photos.example.com/9.jpg"


def body(**changes: Any) -> dict[str, Any]:
    """A good request with some changes; None takes a field away."""
    good = {
        "image_urls": IMAGES,
        "callback_url": "https://shop.example.com/hook?token=s3cret",
        "metadata": {"order": 7},
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def test_the_answer_is_the_one_that_was_promised(site: Site, client: FlaskClient) -> None:
    answer = client.post(URL, json=body(), headers={"X-Request-ID": "submission-1"})
    assert answer.status_code == 202
    job_id = answer.get_json()["job_id"]
    assert answer.get_json() == {
        "job_id": job_id,
        "status": "queued",
        "message": f"Job {job_id} has been queued for processing",
    }
    assert answer.headers["Location"] == f"/api/v1/jobs/{job_id}"
    assert int(answer.headers["Retry-After"]) > 0
    assert len(site.announced) == 1
    recorded = site.store.job(job_id)
    assert (recorded.status, recorded.image_count, recorded.request_id) == ("queued", 3, "submission-1")
    assert recorded.callback_url == CALLBACK


def test_everything_that_can_be_set_is_recorded(site: Site, client: FlaskClient) -> None:
    settings = {"FeatureExtraction": {"describerPreset": "high"}}
    answer = client.post(URL, json=body(pipeline="default", settings=settings, priority=9, outputs=["glb"]))
    job = site.store.job(answer.get_json()["job_id"])
    assert (job.settings, job.priority, job.outputs) == (settings, 9, ("glb",))


@pytest.mark.parametrize(
    ("sent", "recorded"),
    [
        ({"field_of_view_degrees": 60}, Camera(field_of_view_degrees=60)),
        ({"sensor_width_mm": 6.17}, Camera(sensor_width_mm=6.17)),
        ({"field_of_view_degrees": 60, "sensor_width_mm": 6.17}, Camera(60, 6.17)),
        (None, NO_CAMERA),
    ],
    ids=str,
)
def test_what_is_known_of_the_camera(
    site: Site, client: FlaskClient, sent: dict[str, float] | None, recorded: Camera
) -> None:
    job_id = client.post(URL, json=body(camera=sent)).get_json()["job_id"]
    assert site.store.job(job_id).options.camera == recorded
    shown = client.get(f"/api/v1/jobs/{job_id}").get_json()["camera"]
    assert shown == (sent and {"field_of_view_degrees": None, "sensor_width_mm": None, **sent})


def test_a_callback_is_not_required(client: FlaskClient) -> None:
    assert client.post(URL, json={"image_urls": IMAGES}).status_code == 202


@pytest.mark.parametrize(
    ("changes", "code", "pointers"),
    [
        ({"image_urls": None}, "request_refused", ["/image_urls"]),
        ({"image_urls": "https://a.example.com/1.jpg"}, "request_refused", ["/image_urls"]),
        ({"image_urls": []}, "too_few_images", ["/image_urls"]),
        ({"image_urls": IMAGES[:2]}, "too_few_images", ["/image_urls"]),
        ({"image_urls": IMAGES * 200}, "request_refused", ["/image_urls"]),
        ({"image_urls": [*IMAGES, 5]}, "request_refused", ["/image_urls/3"]),
        ({"image_urls": [*IMAGES, "not a url"]}, "url_invalid", ["/image_urls/3"]),
        ({"image_urls": [*IMAGES, "ftp://a.example.com/1.jpg"]}, "url_invalid", ["/image_urls/3"]),
        ({"image_urls": [*IMAGES, "https://u:p@a.example.com/1.jpg"]}, "url_invalid", ["/image_urls/3"]),
        ({"image_urls": [*IMAGES, "https://a.example.com/" + "a" * 2048]}, "url_invalid", ["/image_urls/3"]),
        ({"image_urls": [*IMAGES, "http://127.0.0.1/1.jpg"]}, "address_not_allowed", ["/image_urls/3"]),
        ({"image_urls": [*IMAGES, "http://169.254.169.254/latest"]}, "address_not_allowed", ["/image_urls/3"]),
        (
            {"image_urls": ["http://10.0.0.1/1", PUBLIC, "http://[::1]/2", PUBLIC]},
            "address_not_allowed",
            ["/image_urls/0", "/image_urls/2"],
        ),
        (
            {"image_urls": [*IMAGES, "http://10.0.0.1/1", "nonsense"]},
            "request_refused",
            ["/image_urls/3", "/image_urls/4"],
        ),
        ({"callback_url": "http://192.168.1.1/hook"}, "address_not_allowed", ["/callback_url"]),
        ({"callback_url": 7}, "request_refused", ["/callback_url"]),
        ({"callback_url": ""}, "url_invalid", ["/callback_url"]),
        ({"metadata": []}, "request_refused", ["/metadata"]),
        ({"metadata": "text"}, "request_refused", ["/metadata"]),
        ({"metadata": {"a": "x" * MAX_METADATA_BYTES}}, "request_refused", ["/metadata"]),
        ({"metadata": {"a": "nul\0"}}, "request_refused", ["/metadata/a"]),
        ({"pipeline": "nonesuch"}, "pipeline_unknown", ["/pipeline"]),
        ({"pipeline": "../default"}, "pipeline_unknown", ["/pipeline"]),
        ({"pipeline": 3}, "request_refused", ["/pipeline"]),
        ({"settings": {"Nonesuch": {"a": 1}}}, "setting_invalid", ["/settings/Nonesuch"]),
        (
            {"settings": {"FeatureExtraction": {"nonesuch": 1}}},
            "setting_invalid",
            ["/settings/FeatureExtraction/nonesuch"],
        ),
        ({"settings": {"FeatureExtraction": "high"}}, "request_refused", ["/settings/FeatureExtraction"]),
        ({"settings": []}, "request_refused", ["/settings"]),
        ({"camera": {}}, "request_refused", ["/camera"]),
        ({"camera": 60}, "request_refused", ["/camera"]),
        ({"camera": {"field_of_view_degrees": 0.5}}, "request_refused", ["/camera/field_of_view_degrees"]),
        ({"camera": {"field_of_view_degrees": 180}}, "request_refused", ["/camera/field_of_view_degrees"]),
        ({"camera": {"field_of_view_degrees": "60"}}, "request_refused", ["/camera/field_of_view_degrees"]),
        ({"camera": {"sensor_width_mm": 0}}, "request_refused", ["/camera/sensor_width_mm"]),
        ({"camera": {"sensor_width_mm": 101}}, "request_refused", ["/camera/sensor_width_mm"]),
        ({"camera": {"focal_mm": 4}}, "request_refused", ["/camera/focal_mm"]),
        ({"priority": 10}, "request_refused", ["/priority"]),
        ({"priority": -1}, "request_refused", ["/priority"]),
        ({"priority": "5"}, "request_refused", ["/priority"]),
        ({"priority": True}, "request_refused", ["/priority"]),
        ({"priority": 5.0}, "request_refused", ["/priority"]),
        ({"outputs": ["stl"]}, "request_refused", ["/outputs/0"]),
        ({"outputs": []}, "request_refused", ["/outputs"]),
        ({"image_url": IMAGES}, "request_refused", ["/image_url"]),
        ({"tilde~and/slash": 1}, "request_refused", ["/tilde~0and~1slash"]),
    ],
    ids=str,
)
def test_bad_input_is_refused_at_its_place(
    site: Site, client: FlaskClient, changes: dict[str, Any], code: str, pointers: list[str]
) -> None:
    assert_problem(client.post(URL, json=body(**changes)), 422, code, *pointers)
    assert site.store.jobs().jobs == ()
    assert site.announced == []


@pytest.mark.parametrize("whole", [[], "text", 5])
def test_the_body_must_be_an_object(client: FlaskClient, whole: Any) -> None:
    assert_problem(client.post(URL, json=whole), 422, "request_refused", "")


def test_an_empty_body_lacks_images(client: FlaskClient) -> None:
    assert_problem(client.post(URL), 422, "request_refused", "/image_urls")


def test_all_blocked_addresses_read_alike(client: FlaskClient) -> None:
    details = set()
    for address in ("http://127.0.0.1:22/", "http://10.1.2.3/", "http://localhost/", "http://[fe80::1]/"):
        answer = client.post(URL, json=body(image_urls=[*IMAGES, address]))
        details.add(answer.get_json()["errors"][0]["detail"])
    assert len(details) == 1


def test_private_hosts_are_separate_for_photos_and_callbacks(make_site: Callable[..., Site]) -> None:
    client = make_site(image_private_hosts=("minio:9000",), callback_private_hosts=("127.0.0.1:7000",)).client()
    photos = [f"http://minio:9000/{index}.jpg" for index in range(3)]
    assert client.post(URL, json=body(image_urls=photos, callback_url="http://127.0.0.1:7000/")).status_code == 202
    crossed = body(image_urls=["http://127.0.0.1:7000/1.jpg"] * 3)
    assert_problem(client.post(URL, json=crossed), 422, "address_not_allowed", *[f"/image_urls/{i}" for i in range(3)])


def test_buckets_are_allowed_one_by_one(make_site: Callable[..., Site]) -> None:
    own = {"storage_url": "s3://service-objects/prefix", "aws_endpoint_url": "http://127.0.0.1:9"}
    site = make_site(image_buckets=("photos", "service-objects"), **own)
    job_id = site.submit(image_urls=["s3://photos/chair/", *IMAGES])
    assert site.store.job(job_id).image_count == 3
    for url in ("s3://other/1.jpg", "s3://service-objects/prefix/results/", "s3://photos-2/"):
        sent = body(image_urls=[*IMAGES, url])
        assert_problem(site.client().post(URL, json=sent), 422, "address_not_allowed", "/image_urls/3")


def test_limits_are_those_of_the_settings(make_site: Callable[..., Site]) -> None:
    client = make_site(min_images=2, max_images=4).client()
    assert client.post(URL, json=body(image_urls=IMAGES[:2])).status_code == 202
    assert_problem(client.post(URL, json=body(image_urls=IMAGES * 2)), 422, "request_refused", "/image_urls")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"z": 1, "a": {"deep": [1, 2.5, None, True, {"x": []}]}, "ümläut": "😀", "": 0},
        {"big": 2**70, "small": 1e-300, "negative": -0.5, "text": "<script>\n\t\"'&"},
        {"id": "a" * (MAX_METADATA_BYTES - len('{"id":""}'))},
    ],
    ids=["empty", "nested", "numbers", "largest"],
)
def test_metadata_comes_back_as_it_was_sent(site: Site, client: FlaskClient, metadata: dict[str, Any]) -> None:
    got = client.get(f"/api/v1/jobs/{site.submit(metadata=metadata)}").get_json()["metadata"]
    assert got == metadata
    assert list(got) == list(metadata)


def test_recording_comes_before_telling(site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(new: object) -> str:
        raise RuntimeError("no space")

    monkeypatch.setattr(site.store, "submit_once", fail)
    assert_problem(client.post(URL, json=body()), 500, "internal_error")
    assert site.announced == []
