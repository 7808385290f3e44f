"""Real servers for all tests: each is started when the first test asks for it, or named as missing."""

from __future__ import annotations

from tests.servers.postgres import postgres
from tests.servers.seaweedfs import seaweedfs

__all__ = ["postgres", "seaweedfs"]
