"""What the web app may change: by its own code on every storage, and by its keys on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from meshroom_tasks.errors import StorageUnavailable
from meshroom_tasks.settings import load_settings
from meshroom_tasks.storage import LocalStorage, Storage, open_storage
from meshroom_tasks.storage.scoped import NotItsOwn
from tests.servers.seaweedfs import WEB_BUCKET, SeaweedFS
from web.services import web_storage

OWN = ("uploads/u/00000", "results/j/model.glb", "jobs/j/graph.mg")
OTHERS = ("inputs/abc/0000.jpg", "inputs/abc/manifest.json", "cache/engine/abc/Texturing/uid/0/l/bundle", "started")
ODD = ("uploads", "uploads/", "", "/", "uploads/../inputs/abc", "uploadsx/1", ".probe")


def test_the_app_refuses_by_itself(tmp_path: Path) -> None:
    everything = LocalStorage(tmp_path / "objects")
    for key in (*OWN, *OTHERS):
        everything.put_bytes(key, b"as it was")
    web = web_storage(everything)
    for key in (*OTHERS, *OWN[1:], *ODD):
        with pytest.raises((NotItsOwn, ValueError)):
            web.put_bytes(key, b"changed")
        with pytest.raises((NotItsOwn, ValueError)):
            web.put_file(key, Path(__file__))
        with pytest.raises((NotItsOwn, ValueError)), web.create(key) as sink:
            sink.write(b"changed")
        with pytest.raises(NotItsOwn) if key not in ODD[4:5] else pytest.raises((NotItsOwn, ValueError)):
            web.post_form(key, size=1, seconds=1)
            raise ValueError(key)
    for key in (*OTHERS, *ODD[:4], *ODD[5:]):
        with pytest.raises(NotItsOwn):
            web.delete(key)
        with pytest.raises(NotItsOwn):
            web.delete_prefix(key)
    with pytest.raises(NotItsOwn):
        web.remove_abandoned(older_than_seconds=0)
    assert {everything.get_bytes(key) for key in (*OWN, *OTHERS)} == {b"as it was"}
    web.check()
    web.put_bytes("uploads/u/00001", b"new")
    for key in OWN:
        web.delete_prefix(key.rpartition("/")[0])
    assert sorted(everything.list()) == sorted(OTHERS)


@pytest.fixture(scope="module")
def owner(seaweedfs: SeaweedFS) -> Storage:
    storage = open_storage(load_settings(**seaweedfs.settings(WEB_BUCKET)))
    storage.check()
    return storage


@pytest.fixture
def web(seaweedfs: SeaweedFS, owner: Storage) -> Storage:
    """With the web app's keys, and without the code that refuses."""
    key, secret = seaweedfs.web
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    return open_storage(load_settings(**{**seaweedfs.settings(WEB_BUCKET), **keys}), patience=0.0)


def test_the_store_refuses_what_is_not_the_web_apps_own(owner: Storage, web: Storage, seaweedfs: SeaweedFS) -> None:
    for key in OTHERS:
        owner.put_bytes(key, b"as it was")
        with pytest.raises(StorageUnavailable, match="AccessDenied"):
            web.put_bytes(key, b"changed")
        with pytest.raises(StorageUnavailable, match="AccessDenied"):
            web.delete(key)
        if prefix := key.rpartition("/")[0]:
            with pytest.raises(StorageUnavailable, match="AccessDenied"):
                web.delete_prefix(prefix)
        if key.startswith("inputs/"):
            assert web.get_bytes(key) == b"as it was", "the pages show photos"
        else:
            with pytest.raises(StorageUnavailable, match="AccessDenied"):
                web.get_bytes(key)
        form = web.post_form(key, size=7, seconds=60)
        assert form is not None
        answer = requests.post(form.url, data=form.fields, files={"file": ("x", b"changed")}, timeout=60)
        assert answer.status_code == 403
        assert owner.get_bytes(key) == b"as it was"
    for operation, arguments in (
        ("delete_bucket", {}),
        ("put_bucket_policy", {"Policy": "{}"}),
        ("put_bucket_acl", {"ACL": "public-read-write"}),
        ("create_bucket", {}),
    ):
        with pytest.raises(ClientError):
            getattr(client_of(seaweedfs), operation)(
                Bucket=f"{WEB_BUCKET}-2" if "create" in operation else WEB_BUCKET, **arguments
            )


def test_forms_need_the_right_to_the_whole_bucket(owner: Storage, web: Storage) -> None:
    """SeaweedFS judges who signed a form by the bucket, not by the key in it: limited keys can give none, and in the
    containers the web app takes uploads itself. Whoever may write to the bucket gives forms for one key and size."""

    def post(storage: Storage, data: bytes, **changed: str) -> int:
        form = storage.post_form("uploads/u/00000", size=7, seconds=60)
        assert form is not None
        fields = {**form.fields, **changed}
        return requests.post(form.url, data=fields, files={"file": ("x", data)}, timeout=60).status_code

    assert post(web, b"photo 1") == 403
    assert post(owner, b"photo 1", key="inputs/abc/0000.jpg") == 403
    assert post(owner, b"photo 12") == post(owner, b"photo") == 400
    assert owner.stat("uploads/u/00000") is None
    assert post(owner, b"photo 1") == 204
    owner.delete("uploads/u/00000")


def client_of(seaweedfs: SeaweedFS) -> Any:
    import boto3

    key, secret = seaweedfs.web
    return boto3.client(
        "s3",
        endpoint_url=seaweedfs.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
    )


def test_with_its_own_it_does_what_it_must(owner: Storage, web: Storage) -> None:
    web.check()
    web.put_bytes("uploads/u/00000", b"photo")
    with web.create("uploads/u/00001") as sink:
        sink.write(b"x" * 100)
    assert dict(web.sizes("uploads/u")) == {"uploads/u/00000": 5, "uploads/u/00001": 100}
    for key in OWN[1:]:
        owner.put_bytes(key, b"result")
        assert web.get_bytes(key) == b"result"
        address = web.url(key, seconds=60)
        assert address is not None
        assert requests.get(address, timeout=60).content == b"result"
    for prefix in ("uploads/u", "results/j", "jobs/j"):
        web.delete_prefix(prefix)
        assert list(owner.list(prefix)) == []
