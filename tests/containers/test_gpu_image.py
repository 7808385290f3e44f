"""Dockerfile.gpu, run step by step with stand-ins for the two images that it is made from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshroom_tasks.child_processes import EXIT_REFUSED
from meshroom_tasks.settings import PROJECT

from .stack import docker

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

BASE = "python:3.11-slim-bookworm"
MESHROOM = "meshroom-tasks-test-bundle:stand-in"
IMAGE = "meshroom-tasks-test:gpu"

BUNDLE = f"""
FROM {BASE}
RUN mkdir -p /opt/Meshroom_bundle/aliceVision/share/aliceVision /opt/other /etc/ssh \
    && touch /opt/Meshroom_bundle/aliceVision/share/aliceVision/cameraSensors.db /opt/other/tool /etc/ssh/sshd_config \
    && printf '#!/bin/sh\\necho 2023.3.0\\n' > /opt/Meshroom_bundle/meshroom_batch \
    && cp /opt/Meshroom_bundle/meshroom_batch /opt/Meshroom_bundle/meshroom_compute \
    && chmod +x /opt/Meshroom_bundle/meshroom_*
"""


@pytest.fixture(scope="module")
def image(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "Dockerfile").write_text(BUNDLE)
    docker("build", "-q", "-t", MESHROOM, str(folder))
    arguments = (f"MESHROOM_IMAGE={MESHROOM}", f"CUDA_IMAGE={BASE}")
    flags = [flag for argument in arguments for flag in ("--build-arg", argument)]
    docker("build", "-q", "-f", "Dockerfile.gpu", "-t", IMAGE, *flags, ".", cwd=PROJECT)
    yield IMAGE
    docker("rmi", "-f", IMAGE, MESHROOM)


def inside(image: str, command: str) -> str:
    return docker("run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", image, "sh", "-c", command)


def test_it_holds_the_bundle_and_nothing_else_of_meshrooms_image(image: str) -> None:
    assert inside(image, "ls /opt").split() == ["Meshroom_bundle", "venv"]
    assert inside(image, "ls -d /etc/ssh /opt/other 2>/dev/null || true") == ""


def test_it_runs_meshroom_as_nobody_special(image: str) -> None:
    assert inside(image, "which meshroom_batch meshroom_compute").split() == [
        "/opt/Meshroom_bundle/meshroom_batch",
        "/opt/Meshroom_bundle/meshroom_compute",
    ]
    assert inside(image, "id -u").strip() == "10001"


def test_it_has_no_compiler_and_no_development_packages(image: str) -> None:
    assert inside(image, "which gcc cc make || true") == ""
    assert "No module named 'pytest'" in inside(image, "python -c 'import pytest' 2>&1 || true")
    assert "No module named 'pip'" in inside(image, "python -c 'import pip' 2>&1 || true")


def test_without_a_gpu_its_worker_says_so_and_ends(image: str) -> None:
    done = subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--cap-drop=ALL",
            "-e",
            "DATA_DIR=/tmp/data",
            image,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_REFUSED, done.stdout + done.stderr
    assert "no GPU is visible" in done.stdout + done.stderr


def test_the_shipped_names_fit_each_other() -> None:
    """The images of the ARGs are those that the head of the file names first."""
    text = (PROJECT / "Dockerfile.gpu").read_text()
    for line in text.splitlines():
        if line.startswith(("ARG MESHROOM_IMAGE=", "ARG CUDA_IMAGE=")):
            assert f"{line.partition('=')[2]}" in text.partition("ARG ")[0]
    assert Path(PROJECT / "docker-compose.yml").read_text().count("Dockerfile${COMPOSE_PROFILES:+.gpu}") == 1
