"""Jobs from uploaded photos, through the running service."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.deployment import Deployment, write_photos
from tests.documents import blocks_run_by
from tests.waiting import eventually

TIMEOUT = 120


def photos(deployment: Deployment, seed: int) -> dict[str, bytes]:
    names = write_photos(deployment.photos, 4, seed)
    return {name: (deployment.photos / name).read_bytes() for name in names}


def ask(deployment: Deployment, method: str, path: str, **more: Any) -> requests.Response:
    url = path if path.startswith("http") else f"{deployment.service.url}/api/v1{path}"
    headers = {"X-API-Key": deployment.service.api_key}
    return requests.request(method, url, headers=headers, timeout=TIMEOUT, **more)


def begin(deployment: Deployment, files: dict[str, bytes]) -> Any:
    announced = [{"name": name, "size": len(body)} for name, body in files.items()]
    answer = ask(deployment, "POST", "/uploads", json={"files": announced})
    assert answer.status_code == 201, answer.text
    return answer.json()


def send(deployment: Deployment, upload: Any, files: dict[str, bytes]) -> None:
    for file in upload["files"]:
        if file["send"]["method"] == "PUT":
            assert ask(deployment, "PUT", file["send"]["url"], data=files[file["name"]]).ok
        else:
            form = {"file": (file["name"], files[file["name"]])}
            answer = requests.post(file["send"]["url"], data=file["send"]["fields"], files=form, timeout=TIMEOUT)
            assert answer.ok, answer.text


def completes(deployment: Deployment, urls: list[str]) -> Any:
    job = deployment.wait(deployment.submit(urls))
    assert job["status"] == "completed", job
    return job


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in files.items():
            archive.writestr(f"folder/{name}", body)
    return buffer.getvalue()


@pytest.mark.slow
def test_two_jobs_from_one_upload(deployment: Deployment) -> None:
    files = photos(deployment, 100)
    upload = begin(deployment, files)
    send(deployment, upload, files)
    before = len(deployment.ledger())
    first, second = (deployment.submit([upload["url"]]) for _ in range(2))
    jobs = [deployment.wait(job_id) for job_id in (first, second)]
    assert [(job["status"], job["image_count"]) for job in jobs] == [("completed", 4)] * 2
    computed = [(run.node_type, run.chunk) for run in deployment.ledger()[before:] if run.node_type]
    assert len(computed) == len(set(computed)), "each stage once, for both"


@pytest.mark.slow
def test_a_zip_and_a_form_are_the_same_photos(deployment: Deployment) -> None:
    files = photos(deployment, 101)
    archive = {"chair.zip": zipped(files)}
    upload = begin(deployment, archive)
    send(deployment, upload, archive)
    assert completes(deployment, [upload["url"]])["image_count"] == 4
    form = [("file", (name, body)) for name, body in files.items()]
    answer = ask(deployment, "POST", "/uploads", files=form)
    assert answer.status_code == 201, answer.text
    before = len(deployment.ledger())
    completes(deployment, [answer.json()["url"]])
    assert len(deployment.ledger()) == before, "all of it was in the stage cache"


def example_of_the_page(deployment: Deployment, folder: Path, seed: int) -> str:
    """Run the Python of docs/uploads.md as it stands, against this deployment; returns the id of its job."""
    (found,) = blocks_run_by(__file__, "docs/uploads.md", "python")
    code = found.replace("http://127.0.0.1:8000", deployment.service.url)
    (folder / "data").mkdir()
    (folder / "data" / "api_key").write_text(deployment.service.api_key)
    (folder / "photos").mkdir()
    for name, body in photos(deployment, seed).items():
        (folder / "photos" / name).write_bytes(body)
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_example_of_the_page(deployment: Deployment, tmp_path: Path) -> None:
    assert deployment.wait(example_of_the_page(deployment, tmp_path, 102))["status"] == "completed"


def test_a_connection_that_breaks_in_the_middle(deployment: Deployment) -> None:
    files = {"1.jpg": b"x" * 3_000_000}
    upload = begin(deployment, files)
    target = urlsplit(upload["files"][0]["send"]["url"])
    for _ in range(3):
        with socket.create_connection((target.hostname, target.port), timeout=TIMEOUT) as connection:
            connection.sendall(
                f"PUT {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nX-API-Key: {deployment.service.api_key}\r\n"
                "Content-Length: 3000000\r\n\r\n".encode()
            )
            connection.sendall(files["1.jpg"][:1_000_000])
    incoming = deployment.settings.data_dir / "storage" / ".incoming"
    eventually(lambda: not any(incoming.iterdir()), about=deployment.logs)
    assert ask(deployment, "GET", f"/uploads/{upload['upload_id']}").json()["missing"] == ["1.jpg"]
    send(deployment, upload, files)
    assert ask(deployment, "GET", f"/uploads/{upload['upload_id']}").json()["complete"]


def test_a_form_that_breaks_leaves_nothing(deployment: Deployment) -> None:
    target = urlsplit(f"{deployment.service.url}/api/v1/uploads")
    storage = deployment.settings.data_dir / "storage"
    before = set(storage.glob("uploads/*"))
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="1.jpg"\r\n\r\n12\r\n' * 2
    with socket.create_connection((target.hostname, target.port), timeout=TIMEOUT) as connection:
        connection.sendall(
            f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nX-API-Key: {deployment.service.api_key}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 3000000\r\n\r\n".encode()
        )
        connection.sendall(head + b"x" * 1_000_000)
    eventually(lambda: set(storage.glob("uploads/*")) == before, about=deployment.logs)


def test_two_clients_send_the_same_file_at_once(deployment: Deployment) -> None:
    files = {"1.jpg": b"y" * 2_000_000}
    upload = begin(deployment, files)
    url = upload["files"][0]["send"]["url"]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(deployment, "PUT", url, data=files["1.jpg"]), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    [stored] = (deployment.settings.data_dir / "storage" / "uploads" / upload["upload_id"]).iterdir()
    assert stored.read_bytes() == files["1.jpg"]


def test_more_bytes_than_announced_are_not_read_to_their_end(deployment: Deployment) -> None:
    upload = begin(deployment, {"1.jpg": b"x" * 1000})
    url = upload["files"][0]["send"]["url"]
    assert ask(deployment, "PUT", url, data=b"x" * 1001).json()["code"] == "upload_too_large"
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 1_000_000_000:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    try:
        answer = ask(deployment, "PUT", url, data=endless())
    except requests.ConnectionError:  # The answer may be lost to the client that goes on sending.
        pass
    else:
        assert answer.json()["code"] == "upload_too_large"
    assert sent < 100_000_000


@pytest.mark.slow
def test_a_zip_bomb_fails_its_job_with_a_reason(deployment: Deployment) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("black.png", b"\0" * 50_000_000)
    files = {"bomb.zip": buffer.getvalue()}
    upload = begin(deployment, files)
    send(deployment, upload, files)
    job_id = deployment.submit([upload["url"]])
    job = deployment.wait(job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "zip_bomb")
    assert "bomb.zip" in job["error"]["message"]
    assert deployment.callback(job_id)["error_code"] == "zip_bomb"
