"""The supervisor: Ctrl-C ends everything, and so does its own sudden death."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.local_service import LocalService
from meshroom_tasks.settings import load_settings
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


def test_flower_is_bound_to_loopback_and_asks_for_the_key(tmp_path: Path) -> None:
    service = LocalService(load_settings(data_dir=tmp_path, flower_port=5599))
    [flower] = [child for child in service.children if child.name == "flower"]
    assert [word for word in flower.command if word.startswith("--address")] == ["--address=127.0.0.1"]
    assert "--port=5599" in flower.command
    assert flower.environment["FLOWER_BASIC_AUTH"] == f"admin:{service.api_key}"
    assert not any(service.api_key in word for word in flower.command)
