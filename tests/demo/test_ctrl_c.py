"""Ctrl-C ends the demo with everything that it started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.supervised import assert_all_gone, interrupted, started


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ready", ["rendered", "PrepareDenseScene"])
def test_ctrl_c_leaves_no_process(tmp_path: Path, ready: str) -> None:
    """While the service starts; and when a stage has ended and the longest begins."""
    process = started("demo", tmp_path / "data", ready)
    assert interrupted(process) == 130
    assert_all_gone(tmp_path)
