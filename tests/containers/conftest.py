from __future__ import annotations

from collections.abc import Iterator

import pytest

from .stack import Stack, missing_engine, running_stack


@pytest.fixture(scope="session")
def engine() -> None:
    """Skips where no container can be run."""
    if (reason := missing_engine()) is not None:
        pytest.skip(f"no container engine: {reason}")


@pytest.fixture(scope="session")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("checkout") / "meshroom-tasks") as running:
        yield running
