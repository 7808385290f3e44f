"""Which nodes a machine has, what they consume and see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from meshroom_tasks.child_processes import READY_FILE
from meshroom_tasks.engine.environment import engine_environment
from meshroom_tasks.gpu import Gpu, Gpus
from meshroom_tasks.settings import PROJECT, load_settings
from meshroom_tasks.worker_node import VISIBLE_DEVICES, cpu_nodes, gpu_nodes, light_nodes
from tests.fake_nvml.pynvml import uuid
from tests.servers import tied
from tests.waiting import LONG, eventually

NONE = Gpus(reason="no driver")
TWO = Gpus(tuple(Gpu(index, uuid(index), "NVIDIA Test", 1) for index in range(2)))


@pytest.mark.parametrize(
    ("gpus", "settings", "queues"),
    [
        (NONE, {}, ("cpu", "gpu")),
        (TWO, {}, ("cpu",)),
        (TWO, {"worker_queues": ("cpu", "gpu")}, ("cpu", "gpu")),
        (NONE, {"worker_queues": ("cpu",)}, ("cpu",)),
        (TWO, {"intensive_queue": "cpu-large"}, ("cpu-large", "cpu")),
        (TWO, {"intensive_queue": "cpu-large", "worker_memory": "normal"}, ("cpu",)),
        (TWO, {"worker_memory": "normal"}, ("cpu",)),
    ],
)
def test_what_cpu_workers_consume(gpus: Gpus, settings: dict[str, Any], queues: tuple[str, ...]) -> None:
    [node] = cpu_nodes(load_settings(cpu_workers=3, **settings), gpus)
    assert (node.queues, node.processes) == (queues, 3)
    hides = gpus is TWO and "gpu" not in queues
    assert node.environment.get(VISIBLE_DEVICES) == ("" if hides else None)


def test_each_gpu_has_a_node_that_sees_it_alone() -> None:
    nodes = gpu_nodes(TWO, None)
    assert [(node.name, node.queues, node.processes) for node in nodes] == [
        ("gpu0", ("gpu",), 1),
        ("gpu1", ("gpu",), 1),
    ]
    assert [node.environment[VISIBLE_DEVICES] for node in nodes] == [uuid(0), uuid(1)]
    for node in nodes:
        assert engine_environment(node.environment, {}, 4)[VISIBLE_DEVICES] == node.environment[VISIBLE_DEVICES]


def test_the_command_line_of_a_node() -> None:
    [light] = light_nodes()
    line = " ".join(light.command)
    assert line.endswith("worker -E -n light@%h -c 2 -Q ingest,callback --without-gossip --without-mingle")
    assert light.environment["REMAP_SIGTERM"] == "SIGQUIT"


@pytest.mark.slow
def test_one_process_keeps_the_nodes_of_a_machine_with_two_gpus(fake_nvml: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "FAKE_NVML": "3", "CUDA_VISIBLE_DEVICES": "2,0"}
    supervisor = tied.start(
        [sys.executable, "-m", "meshroom_tasks.worker_node", "gpu"],
        signal="TERM",
        cwd=PROJECT,
        env={**environment, READY_FILE: str(ready)},
        stderr=(tmp_path / "log").open("w"),
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: len(list(tmp_path.glob("ready.gpu*"))) == 2, about=(tmp_path / "log").read_text)
        nodes = psutil.Process(supervisor.pid).children()
        seen = {node.environ()[VISIBLE_DEVICES] for node in nodes}
        assert seen == {uuid(2), uuid(0)}, "the operator's choice holds"
        for node in nodes:
            assert {pool.environ()[VISIBLE_DEVICES] for pool in node.children()} == {node.environ()[VISIBLE_DEVICES]}
        everything = psutil.Process(supervisor.pid).children(recursive=True)
    finally:
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(LONG) == 0
    eventually(lambda: not any(is_alive(process) for process in everything))


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
