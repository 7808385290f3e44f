from __future__ import annotations

import logging
import os
import time
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from meshroom_tasks.errors import DiskFull, StorageUnavailable
from meshroom_tasks.settings import Settings, load_settings
from meshroom_tasks.storage import Storage, open_storage
from tests.servers.forgetful_proxy import forgetful_proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.small_disk import small_disk
from tests.storage.contract import StorageContract
from tests.waiting import eventually


@pytest.fixture
def bucket() -> str:
    """The name of one that does not exist yet."""
    return f"b-{uuid.uuid4().hex}"


@pytest.fixture
def settings(seaweedfs: SeaweedFS, bucket: str) -> Settings:
    return load_settings(**seaweedfs.settings(f"{bucket}/some/prefix"))


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


class TestS3Storage(StorageContract):
    pass


def test_a_form_takes_one_object_of_one_size(storage: Storage) -> None:
    form = storage.post_form("uploads/x/00000", size=10, seconds=60)
    assert form is not None

    def post(size: int, **changes: str) -> requests.Response:
        return requests.post(
            form.url, data={**form.fields, **changes}, files={"file": ("1.jpg", b"x" * size)}, timeout=60
        )

    assert post(9).status_code == post(11).status_code == post(10_000_000).status_code == 400
    key = form.fields["key"]
    assert post(10, key=f"{key}1").status_code == 403
    assert post(10, key="some/prefix/results/1").status_code == 403
    assert list(storage.list()) == []
    for _ in range(2):
        assert post(10).ok
    assert list(storage.sizes("uploads/x")) == [("uploads/x/00000", 10)]
    assert key.endswith("uploads/x/00000")


def test_a_form_expires(storage: Storage) -> None:
    form = storage.post_form("uploads/x/00000", size=10, seconds=1)
    assert form is not None
    time.sleep(2.5)  # A policy counts whole seconds.
    answer = requests.post(form.url, data=form.fields, files={"file": ("1.jpg", b"x" * 10)}, timeout=60)
    assert answer.status_code == 403
    assert list(storage.list()) == []


def test_no_form_where_clients_do_not_reach_the_server(settings: Settings) -> None:
    storage = open_storage(settings.model_copy(update={"aws_presigned_urls": False}))
    assert storage.post_form("uploads/x/00000", size=10, seconds=1) is None


@pytest.mark.parametrize(
    "change",
    [
        {"storage_url": "s3://"},
        {"storage_url": "s3:///prefix"},
        {"storage_url": "s3://Bucket_Name"},
        {"storage_url": "s3://bucket/../other"},
        {"storage_url": "s3://bucket?versionId=1"},
        {"storage_url": "s3://key:hunter2@bucket"},
        {"aws_endpoint_url": "127.0.0.1:9000"},
        {"aws_public_endpoint_url": "ftp://127.0.0.1"},
    ],
)
def test_settings_that_name_no_bucket(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"STORAGE_URL|AWS_ENDPOINT_URL") as raised:
        open_storage(load_settings(**{"storage_url": "s3://bucket", **change}))
    assert "hunter2" not in str(raised.value)


def test_an_endpoint_alone_means_the_named_bucket() -> None:
    settings = load_settings(aws_endpoint_url="http://127.0.0.1:1", aws_bucket_name="models")
    assert settings.storage == "s3://models"
    assert load_settings(storage_url="file:///x", aws_endpoint_url="http://127.0.0.1:1").storage == "file:///x"


def test_what_lies_beside_the_prefix_is_not_seen(seaweedfs: SeaweedFS, storage: Storage, bucket: str) -> None:
    storage.put_bytes("k", b"x")
    seaweedfs.client().put_object(Bucket=bucket, Key="some/prefix2/k", Body=b"")
    seaweedfs.client().put_object(Bucket=bucket, Key="some/prefix/.hidden", Body=b"")
    assert list(storage.list()) == ["k"]


def test_more_than_a_page_of_objects(storage: Storage) -> None:
    storage.put_bytes("many/0000", b"")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: storage.put_bytes(f"many/{number:04d}", b""), range(1, 1003)))
    storage.put_bytes("other", b"")
    assert list(storage.list("many")) == [f"many/{number:04d}" for number in range(1003)]
    storage.delete_prefix("many")
    assert list(storage.list()) == ["other"]


def test_reading_before_there_is_a_bucket(storage: Storage) -> None:
    assert storage.stat("k") is None
    assert list(storage.list()) == []
    assert storage.remove_abandoned(older_than_seconds=0) == 0
    storage.delete("k")
    storage.delete_prefix("k")


class TestCredentials:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"aws_access_key_id": "hunter1"}, "InvalidAccessKeyId"),
            ({"aws_secret_access_key": "hunter2"}, "SignatureDoesNotMatch"),
        ],
    )
    def test_wrong_ones_are_named_and_not_shown(
        self, settings: Settings, storage: Storage, caplog: pytest.LogCaptureFixture, change: dict[str, str], told: str
    ) -> None:
        storage.put_bytes("there", b"x")
        secret = settings.aws_secret_access_key.get_secret_value()
        wrong = open_storage(load_settings(**{**_values(settings), **change}))
        caplog.set_level(logging.DEBUG)
        for call in (
            wrong.check,
            lambda: wrong.put_bytes("k", b"x"),
            lambda: wrong.get_bytes("there"),
            lambda: wrong.open("there"),
            lambda: list(wrong.list()),
        ):
            with pytest.raises(StorageUnavailable, match="AWS_ACCESS_KEY_ID") as raised:
                call()
            text = "".join(traceback.format_exception(raised.value)) + str(raised.value.context) + caplog.text
            assert told in raised.value.message
            for hidden in (secret, "hunter", "Signature=", "Credential="):
                assert hidden not in text
        with pytest.raises(StorageUnavailable, match="403"):
            wrong.stat("there")

    def test_missing_ones(self, seaweedfs: SeaweedFS, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        storage = open_storage(load_settings(storage_url=f"s3://{bucket}", aws_endpoint_url=seaweedfs.endpoint))
        for call in (storage.check, lambda: storage.get_bytes("k"), lambda: storage.url("k", seconds=1)):
            with pytest.raises(StorageUnavailable, match="there are no credentials"):
                call()

    def test_without_the_right_to_make_a_bucket(self, seaweedfs: SeaweedFS, bucket: str) -> None:
        name, secret = seaweedfs.guest
        keys = {"aws_access_key_id": name, "aws_secret_access_key": secret}
        storage = open_storage(load_settings(**{**seaweedfs.settings(bucket), **keys}))
        with pytest.raises(StorageUnavailable, match=r"may not be created|refuses the credentials \(AccessDenied\)"):
            storage.put_bytes("k", b"")


class TestPresigned:
    def test_anybody_may_fetch_for_a_while(self, storage: Storage, bucket: str) -> None:
        storage.put_bytes("results/1/model.glb", b"glTF", media_type="model/gltf-binary")
        url = storage.url(
            "results/1/model.glb",
            seconds=600,
            media_type="model/x-other",
            disposition='attachment; filename="model.glb"',
        )
        assert url is not None
        answer = requests.get(url, timeout=60, headers={"Origin": "https://viewer.example.com"})
        assert (answer.status_code, answer.content) == (200, b"glTF")
        assert answer.headers["Content-Type"] == "model/x-other"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="model.glb"'
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://viewer.example.com")
        part = requests.get(url, timeout=60, headers={"Range": "bytes=1-2"})
        assert (part.status_code, part.content) == (206, b"lT")
        assert requests.get(url.replace("model.glb", "other.glb"), timeout=60).status_code == 403
        assert requests.put(url, data=b"evil", timeout=60).status_code == 403
        assert requests.get(url.partition("?")[0], timeout=60).status_code == 403
        soon = storage.url("results/1/model.glb", seconds=1)
        assert soon is not None
        eventually(lambda: requests.get(soon, timeout=60).status_code == 403)

    def test_the_stored_type_is_the_default(self, storage: Storage) -> None:
        storage.put_bytes("k", b"{}", media_type="application/json")
        url = storage.url("k", seconds=60)
        assert url is not None
        assert requests.get(url, timeout=60).headers["Content-Type"] == "application/json"

    def test_they_are_for_the_address_that_clients_reach(self, settings: Settings) -> None:
        public = {"aws_public_endpoint_url": "https://files.example.com"}
        url = open_storage(load_settings(**{**_values(settings), **public})).url("k", seconds=60)
        assert url is not None
        assert url.startswith("https://files.example.com/b-")
        hidden = open_storage(load_settings(**{**_values(settings), "aws_presigned_urls": False}))
        assert hidden.url("k", seconds=60) is None


class TestLostAnswers:
    """The server has done what it was asked to, and the answer never comes."""

    @pytest.mark.parametrize("size", [10, 20_000_000])
    def test_a_conditional_write_knows_its_own(self, settings: Settings, bucket: str, size: int) -> None:
        open_storage(settings).check()
        with forgetful_proxy(settings.aws_endpoint_url) as proxy:
            storage = open_storage(load_settings(**{**_values(settings), "aws_endpoint_url": proxy.endpoint}))
            last = "PUT" if size < 1000 else "POST"
            suffix = "" if size < 1000 else "?uploadId"
            proxy.lose(f"{last} /{bucket}/some/prefix/k{suffix}".encode())
            assert storage.put_bytes("k", bytes(size), if_absent=True)
            assert proxy.lost == 1
            proxy.lose(f"{last} /{bucket}/some/prefix/k{suffix}".encode())
            assert not storage.put_bytes("k", b"1" * size, if_absent=True)
            assert proxy.lost == 2
            assert storage.get_bytes("k") == bytes(size)

    def test_parts_are_sent_again(self, settings: Settings, bucket: str, tmp_path: Path) -> None:
        open_storage(settings).check()
        (tmp_path / "in").write_bytes(os.urandom(30_000_000))
        with forgetful_proxy(settings.aws_endpoint_url) as proxy:
            storage = open_storage(load_settings(**{**_values(settings), "aws_endpoint_url": proxy.endpoint}))
            for verb in ("PUT", "PUT", "GET", "GET"):
                proxy.lose(f"{verb} /{bucket}/some/prefix/k".encode())
            moved_in: list[int] = []
            moved_out: list[int] = []
            storage.put_file("k", tmp_path / "in", progress=moved_in.append)
            storage.get_file("k", tmp_path / "out", progress=moved_out.append)
            assert proxy.lost == 4
        assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
        assert sum(moved_in) == sum(moved_out) == 30_000_000


def test_abandoned_uploads_go_and_young_ones_stay(seaweedfs: SeaweedFS, storage: Storage, bucket: str) -> None:
    storage.check()
    for key in ("some/prefix/k", "elsewhere/k"):
        seaweedfs.client().create_multipart_upload(Bucket=bucket, Key=key)
    assert storage.remove_abandoned(older_than_seconds=3600) == 0
    assert storage.remove_abandoned(older_than_seconds=-60) == 1
    left = seaweedfs.client().list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in left] == ["elsewhere/k"]


def test_an_object_replaced_while_it_is_read_is_not_mixed(storage: Storage) -> None:
    storage.put_bytes("k", b"1" * 20_000_000)
    with storage.open("k") as stream:
        storage.put_bytes("k", b"2" * 20_000_000)
        with pytest.raises(StorageUnavailable, match="replaced"):
            stream.read()


def test_a_full_local_disk(storage: Storage, tmp_path: Path) -> None:
    storage.put_bytes("k", bytes(3_000_000))
    with small_disk(tmp_path / "small", 1):
        with pytest.raises(DiskFull):
            storage.get_file("k", tmp_path / "small" / "out")
        assert list((tmp_path / "small").iterdir()) == []


def _values(settings: Settings) -> dict[str, Any]:
    """The settings of the server and the bucket, to be given to `load_settings` again."""
    names = ("storage_url", "aws_endpoint_url", "aws_access_key_id", "aws_secret_access_key")
    return {name: getattr(settings, name) for name in names}
