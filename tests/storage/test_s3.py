from __future__ import annotations

import uuid

import pytest

from meshroom_tasks.settings import Settings, load_settings
from tests.servers.seaweedfs import SeaweedFS
from tests.storage.contract import StorageContract


@pytest.fixture
def settings(seaweedfs: SeaweedFS) -> Settings:
    """Below a prefix, in a bucket that does not exist yet."""
    return load_settings(**seaweedfs.settings(f"b-{uuid.uuid4().hex}/some/prefix"))


class TestS3Storage(StorageContract):
    pass
