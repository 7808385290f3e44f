from __future__ import annotations

import pytest

from meshroom_tasks.pipelines import Pipelines
from tests.pipelines.loading import load


@pytest.fixture(scope="package")
def pipelines() -> Pipelines:
    return load()
