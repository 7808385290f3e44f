from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshroom_tasks.local_service import LocalService
from tests.deployment import Deployment, deployed


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One service for all tests that leave it as it was."""
    with deployed(tmp_path_factory.mktemp("e2e"), make_service=LocalService) as deployment:
        yield deployment


@pytest.fixture
def deployment(running: Deployment) -> Deployment:
    """The shared service; its engine does nothing special."""
    running.script({})
    running.close_gate()
    return running
