from __future__ import annotations

import hashlib
import io
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from meshroom_tasks.uploads import remove_expired_uploads, remove_upload
from tests.web.conftest import IMAGES, Site
from tests.web.problem import assert_problem
from web.services import MOST_UPLOADS_OF_ONE

URL = "/api/v1/uploads"
DATA = [f"photo {index}".encode() for index in range(3)]
NAMES = ["001.jpg", "front side/002.jpg", "ü %2f?#.jpg"]


def announced(**more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "size": len(data), **more} for name, data in zip(NAMES, DATA, strict=True)]


def begin(client: FlaskClient, files: list[dict[str, Any]] | None = None) -> Any:
    answer = client.post(URL, json={"files": files or announced()})
    assert answer.status_code == 201, answer.get_json()
    upload = answer.get_json()
    assert answer.headers["Location"] == f"{URL}/{upload['upload_id']}"
    return upload


def path_of(site: Site, file: dict[str, Any]) -> str:
    assert file["send"]["method"] == "PUT"
    return str(file["send"]["url"]).removeprefix(site.settings.base_url)


def send_all(site: Site, client: FlaskClient, upload: Any) -> None:
    for file, data in zip(upload["files"], DATA, strict=True):
        assert client.put(path_of(site, file), data=data).status_code == 200


def kept(site: Site) -> list[str]:
    return list(site.storage.list("uploads"))


def test_announce_send_and_name(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    assert (upload["complete"], upload["missing"]) == (False, NAMES)
    sent = client.put(path_of(site, upload["files"][1]), data=DATA[1])
    assert sent.get_json() == {**upload["files"][1], "arrived": True, "send": None}
    between = client.get(f"{URL}/{upload['upload_id']}").get_json()
    assert (between["complete"], between["missing"]) == (False, [NAMES[0], NAMES[2]])
    send_all(site, client, upload)
    after = client.get(f"{URL}/{upload['upload_id']}").get_json()
    assert (after["complete"], after["missing"]) == (True, [])
    assert [file["arrived"] for file in after["files"]] == [True] * 3
    for urls in ([after["url"]], [file["url"] for file in after["files"]]):
        assert site.store.job(site.submit(image_urls=urls)).image_count == 3


def test_names_never_reach_the_store(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    send_all(site, client, upload)
    assert kept(site) == [f"uploads/{upload['upload_id']}/0000{number}" for number in range(3)]


def test_one_request_announces_500_files(site: Site, client: FlaskClient) -> None:
    files = [{"name": f"{number:03d}.jpg", "size": 5_000_000, "sha256": "ab" * 32} for number in range(500)]
    upload = begin(client, files)
    assert len({file["send"]["url"] for file in upload["files"]}) == 500


def test_many_files_in_one_form(site: Site, client: FlaskClient) -> None:
    form = {"file": [(io.BytesIO(data), name) for name, data in zip(NAMES, DATA, strict=True)]}
    answer = client.post(URL, data=form, content_type="multipart/form-data")
    upload = answer.get_json()
    assert answer.status_code == 201, upload
    assert upload["complete"]
    assert [file["name"] for file in upload["files"]] == NAMES
    assert [file["sha256"] for file in upload["files"]] == [hashlib.sha256(data).hexdigest() for data in DATA]
    assert [site.storage.get_bytes(key) for key in kept(site)] == DATA
    assert site.store.job(site.submit(image_urls=[upload["url"]])).image_count == 3


def test_a_large_form_is_not_held_in_memory(make_site: Callable[..., Site]) -> None:
    """Larger than what JSON may have, with boundaries across blocks."""
    site = make_site()
    bodies = [bytes([number]) * (1_000_003 + number) for number in range(3)]
    form = {f"photo{number}": (io.BytesIO(body), f"{number}.jpg") for number, body in enumerate(bodies)}
    assert site.client().post(URL, data=form).status_code == 201
    assert [site.storage.get_bytes(key) for key in kept(site)] == bodies


REFUSED_FORMS: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "request_refused"),
    ({"note": "text"}, 422, "request_refused"),
    ({"file": [("a.jpg", b"1"), ("a.jpg", b"2")]}, 422, "request_refused"),
    ({"file": [("../a.jpg", b"1")]}, 422, "request_refused"),
    ({"file": [("a.jpg", b"")]}, 422, "request_refused"),
    ({"file": [("a.jpg", b"1"), ("b.jpg", b"x" * 1001)]}, 413, "upload_too_large"),
    ({"file": [(f"{number}.jpg", b"1") for number in range(6)]}, 422, "request_refused"),
    ({"file": [(f"{number}.jpg", b"x" * 900) for number in range(5)]}, 413, "upload_too_large"),
]


def test_forms_that_are_refused_leave_nothing(make_site: Callable[..., Site]) -> None:
    site = make_site(max_images=5, max_image_bytes=1000, max_job_bytes=4000)
    for form, status, code in REFUSED_FORMS:
        data = {
            name: value if isinstance(value, str) else [(io.BytesIO(body), file) for file, body in value]
            for name, value in form.items()
        }
        assert_problem(site.client().post(URL, data=data, content_type="multipart/form-data"), status, code)
        assert kept(site) == []
        assert site.store.expired_uploads(timedelta(days=-2), 10) == ()


def test_a_form_that_announces_too_much_is_not_read(make_site: Callable[..., Site]) -> None:
    site = make_site(max_images=5, max_job_bytes=4000)
    data = {"file": (io.BytesIO(b"x" * 20_000), "1.jpg")}
    assert_problem(site.client().post(URL, data=data), 413, "upload_too_large")
    assert site.store.expired_uploads(timedelta(days=-2), 10) == (), "nothing was begun"


REFUSED_BODIES = [
    ("multipart/form-data", b"x", 400, "malformed_multipart"),
    (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n12',
        422,
        "upload_damaged",
    ),
    ("multipart/form-data; boundary=b", b"--b\r\n" + b"x" * 3_000_000, 400, "malformed_multipart"),
    ("text/plain", b"{}", 415, "unsupported_media_type"),
    ("application/json", b"{", 400, "malformed_json"),
]


def test_bodies_that_are_refused(site: Site, client: FlaskClient) -> None:
    for kind, body, status, code in REFUSED_BODIES:
        assert_problem(client.post(URL, data=body, content_type=kind), status, code)
        assert kept(site) == []


CANNOT_BE_ANNOUNCED: list[tuple[Any, str]] = [
    ([], "/files"),
    (None, "/files"),
    ([{"name": "a.jpg"}], "/files/0/size"),
    ([{"name": "a.jpg", "size": 0}], "/files/0/size"),
    ([{"name": "a.jpg", "size": "5"}], "/files/0/size"),
    ([{"name": "a.jpg", "size": 1001}], "/files/0/size"),
    ([{"name": "a.zip", "size": 4001}], "/files/0/size"),
    ([{"name": "a", "content_type": "application/zip", "size": 4001}], "/files/0/size"),
    ([{"name": "a.jpg", "size": 5, "sha256": "AB" * 32}], "/files/0/sha256"),
    ([{"name": "a.jpg", "size": 5, "content_type": "a/b\r\nX: 1"}], "/files/0/content_type"),
    ([{"name": "a.jpg", "size": 5, "path": "x"}], "/files/0/path"),
    ([{"name": "a.jpg", "size": 5}] * 2, ""),
    ([{"name": f"{n}.jpg", "size": 5} for n in range(6)], "/files"),
    ([{"name": f"{n}.jpg", "size": 1000} for n in range(5)], "/files"),
    *(
        ([{"name": name, "size": 5}], "/files/0/name")
        for name in (
            "",
            "../a.jpg",
            "a/../b.jpg",
            "/etc/passwd",
            "a//b",
            "a/",
            "C:\\a.jpg",
            "a\\b",
            "a\nb",
            "x" * 256,
        )
    ),
]


def test_what_cannot_be_announced(make_site: Callable[..., Site]) -> None:
    client = make_site(max_images=5, max_image_bytes=1000, max_job_bytes=4000).client()
    for files, pointer in CANNOT_BE_ANNOUNCED:
        answer = client.post(URL, json={} if files is None else {"files": files})
        told = answer.get_json(force=True)
        assert (answer.status_code, told["code"]) == (422, "request_refused"), files
        assert pointer in [fault["pointer"] for fault in told["errors"]], files


def test_a_file_that_is_not_what_was_announced(site: Site, client: FlaskClient) -> None:
    upload = begin(client, announced(sha256=hashlib.sha256(DATA[0]).hexdigest()))
    first, second = (path_of(site, file) for file in upload["files"][:2])
    assert_problem(client.put(first, data=DATA[0] + b"!"), 413, "upload_too_large")
    assert_problem(client.put(first, data=DATA[0][:-1]), 422, "upload_damaged")
    assert_problem(client.put(first, data=b""), 422, "upload_damaged")
    assert_problem(client.put(second, data=DATA[1]), 422, "upload_damaged")
    assert kept(site) == []
    assert client.put(first, data=DATA[0]).status_code == 200
    assert_problem(client.put(first, data=DATA[1]), 422, "upload_damaged")
    assert site.storage.get_bytes(kept(site)[0]) == DATA[0], "what had arrived stays"


def test_without_a_length_the_bytes_are_counted(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    path = path_of(site, upload["files"][0])

    def put(data: bytes) -> Any:
        environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
        return client.put(path, input_stream=io.BytesIO(data), environ_overrides=environ)

    assert_problem(put(DATA[0] + b"!"), 413, "upload_too_large")
    assert_problem(put(DATA[0][:-1]), 422, "upload_damaged")
    assert put(DATA[0]).status_code == 200


def test_an_upload_that_is_not_there(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    for method, path in (
        ("GET", f"{URL}/{'0' * 32}"),
        ("DELETE", f"{URL}/{'0' * 32}"),
        ("PUT", f"{URL}/{'0' * 32}/files/0"),
        ("PUT", f"{URL}/{upload['upload_id']}/files/3"),
    ):
        assert_problem(client.open(path, method=method, data=b""), 404, "not_found")


TAKEN_BY_NO_JOB = [
    ("upload://{id}", "upload_incomplete"),
    ("upload://{id}/001.jpg", "upload_incomplete"),
    ("upload://{id}/nonesuch.jpg", "upload_unknown"),
    ("upload://00000000000000000000000000000000", "upload_unknown"),
    ("upload://00000000000000000000000000000000/001.jpg", "upload_unknown"),
    ("upload://", "url_invalid"),
    ("upload://../../results", "url_invalid"),
    ("upload://{id}/../{id}/001.jpg", "url_invalid"),
    ("upload://{id}/%2e%2e/001.jpg", "url_invalid"),
    ("upload://{id}/%ff.jpg", "url_invalid"),
    ("UPLOAD://{id}", "url_invalid"),
    ("upload:///001.jpg", "url_invalid"),
]


def test_uploads_that_no_job_can_take(site: Site, client: FlaskClient) -> None:
    upload_id = begin(client)["upload_id"]
    for url, code in TAKEN_BY_NO_JOB:
        body = {"image_urls": [*IMAGES, url.format(id=upload_id)]}
        assert_problem(client.post("/api/v1/reconstruct", json=body), 422, code, "/image_urls/3")
    assert site.store.jobs().jobs == ()


def test_missing_files_are_named(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    client.put(path_of(site, upload["files"][1]), data=DATA[1])
    answer = client.post("/api/v1/reconstruct", json={"image_urls": [upload["url"]]})
    assert_problem(answer, 422, "upload_incomplete", "/image_urls/0")
    detail = answer.get_json()["detail"]
    assert NAMES[0] in detail
    assert NAMES[1] not in detail
    assert NAMES[2] in detail


def test_a_file_of_another_size_in_the_store_is_missing(site: Site, client: FlaskClient) -> None:
    """As it would be where an object store does not enforce the size of a form."""
    upload = begin(client)
    send_all(site, client, upload)
    site.storage.put_bytes(kept(site)[2], b"longer than it was announced to be")
    assert client.get(f"{URL}/{upload['upload_id']}").get_json()["missing"] == [NAMES[2]]
    answer = client.post("/api/v1/reconstruct", json={"image_urls": [upload["url"]]})
    assert_problem(answer, 422, "upload_incomplete", "/image_urls/0")


def test_too_few_are_told_where_all_are_counted(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    send_all(site, client, upload)
    for urls in ([upload["files"][0]["url"]], IMAGES[:2]):
        answer = client.post("/api/v1/reconstruct", json={"image_urls": urls})
        assert_problem(answer, 422, "too_few_images", "/image_urls")
    archive = begin(client, [{"name": "chair.ZIP", "size": 5}])
    client.put(path_of(site, archive["files"][0]), data=b"12345")
    assert client.post("/api/v1/reconstruct", json={"image_urls": [archive["url"]]}).status_code == 202


def test_expired_uploads_are_gone(make_site: Callable[..., Site]) -> None:
    site = make_site(upload_expire_seconds=0.001)
    client = site.client()
    upload = begin(client)
    path = path_of(site, upload["files"][0])
    assert_problem(client.put(path, data=DATA[0]), 404, "not_found")
    assert_problem(client.get(f"{URL}/{upload['upload_id']}"), 404, "not_found")
    answer = client.post("/api/v1/reconstruct", json={"image_urls": [*IMAGES, upload["url"]]})
    assert_problem(answer, 422, "upload_unknown", "/image_urls/3")
    assert remove_expired_uploads(site.store, site.storage) == 0, "what is on its way may still come for a while"


def test_an_upload_stays_for_the_job_that_needs_it(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    send_all(site, client, upload)
    first, second = (site.submit(image_urls=[upload["url"]]) for _ in range(2))
    path = f"{URL}/{upload['upload_id']}"
    for job_id in (first, second):
        assert site.store.uploads_of(job_id)[upload["upload_id"]].files[0].name == NAMES[0]
        assert_problem(client.delete(path), 409, "conflict")
        assert not remove_upload(site.store, site.storage, upload["upload_id"])
        site.write(job_id, status="failed")
    assert client.delete(path).status_code == 204
    assert kept(site) == []
    assert site.store.uploads_of(first) == {}
    assert_problem(client.delete(path), 404, "not_found")
    client.delete(f"/api/v1/jobs/{first}")


def test_a_file_whose_upload_goes_meanwhile_is_not_left_behind(
    site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(client)
    create = site.storage.create

    def removed_meanwhile(key: str, **options: Any) -> Any:
        remove_upload(site.store, site.storage, upload["upload_id"])
        return create(key, **options)

    monkeypatch.setattr(site.storage, "create", removed_meanwhile)
    assert_problem(client.put(path_of(site, upload["files"][0]), data=DATA[0]), 404, "not_found")
    assert kept(site) == []


def test_the_storage_of_a_tenant_is_not_overfilled(make_site: Callable[..., Site]) -> None:
    site = make_site(tenant_max_storage_bytes=2000)
    client = site.client()
    upload = begin(client, [{"name": "1.jpg", "size": 1500}])
    answer = client.post(URL, json={"files": [{"name": "2.jpg", "size": 501}]})
    assert_problem(answer, 422, "storage_limit")
    assert_problem(client.post(URL, data={"file": (io.BytesIO(b"x" * 501), "2.jpg")}), 422, "storage_limit")
    assert kept(site) == []
    assert client.delete(f"{URL}/{upload['upload_id']}").status_code == 204
    assert client.post(URL, data={"file": (io.BytesIO(b"x" * 501), "2.jpg")}).status_code == 201


def test_only_so_many_are_received_at_a_time(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    with site.app.test_request_context(), ExitStack() as stack:
        for _ in range(MOST_UPLOADS_OF_ONE):
            stack.enter_context(site.parts.receiving.body("default"))
        busy = client.put(path_of(site, upload["files"][0]), data=DATA[0])
        assert_problem(busy, 503, "too_many_uploads")
        assert int(busy.headers["Retry-After"]) > 0
    assert client.put(path_of(site, upload["files"][0]), data=DATA[0]).status_code == 200


def test_nobody_waits_for_a_slow_client(site: Site, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.receiving._BASE_SECONDS", 0.2)
    upload = begin(client)
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb", buffering=0) as stream:
        theirs.sendall(DATA[0][:-1])
        answer = client.put(
            path_of(site, upload["files"][0]),
            environ_overrides={"wsgi.input": stream, "gunicorn.socket": ours, "CONTENT_LENGTH": str(len(DATA[0]))},
        )
        assert_problem(answer, 422, "upload_damaged")
    assert kept(site) == []


def test_a_request_that_is_sent_again_after_its_upload_is_gone(site: Site, client: FlaskClient) -> None:
    upload = begin(client)
    send_all(site, client, upload)
    headers = {"Idempotency-Key": "order-1"}

    def post(**more: Any) -> Any:
        return client.post("/api/v1/reconstruct", json={"image_urls": [upload["url"]], **more}, headers=headers)

    first = post()
    job_id = first.get_json()["job_id"]
    site.write(job_id, status="completed")
    assert client.delete(f"{URL}/{upload['upload_id']}").status_code == 204
    again = post()
    assert (again.status_code, again.get_json()) == (202, first.get_json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert_problem(post(priority=9), 422, "idempotency_key_reused")
    headers = {}
    assert_problem(post(), 422, "upload_unknown", "/image_urls/0")
