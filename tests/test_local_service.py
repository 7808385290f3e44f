"""The supervisor: Ctrl-C ends everything, and so does its own sudden death."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.supervised import assert_all_gone, interrupted, of_this_test, started


@pytest.mark.slow
def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    process = started("meshroom_tasks.local_service", tmp_path / "data", "Ctrl-C stops all")
    assert interrupted(process) == 0
    assert_all_gone(tmp_path)


@pytest.mark.slow
def test_no_process_outlives_the_supervisor(tmp_path: Path) -> None:
    process = started("meshroom_tasks.local_service", tmp_path / "data", "Ctrl-C stops all")
    assert len(of_this_test(tmp_path)) >= 6
    process.kill()
    process.wait()
    assert_all_gone(tmp_path)
