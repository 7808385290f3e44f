"""What a worker must find on its machine before it takes a task: better none than one that fails every step.

Nothing here asks which engine it is: what is checked is what the settings and the environment promise.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from meshroom_tasks.callbacks import check_schedule, check_secret
from meshroom_tasks.engine import Engine, release
from meshroom_tasks.engine.failures import VOCABULARY_TREE_SOURCE
from meshroom_tasks.engine.identity import executable
from meshroom_tasks.errors import EngineNotFound, GraphInvalid
from meshroom_tasks.gpu import Gpu, find_gpus
from meshroom_tasks.logs import logger
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.releases import names_release
from meshroom_tasks.settings import Settings
from meshroom_tasks.worker_node import NEEDS_GPU, VISIBLE_DEVICES

_NO_ENGINE = {"callback"}
_SENSORS_BELOW_ROOT = Path("share/aliceVision/cameraSensors.db")
_TREE_BELOW_ROOT = Path("share/aliceVision/vlfeat_K80L3.SIFT.tree")

log = logger(__name__)


class Unfit(Exception):
    """Why this worker may not take tasks: one sentence that says what to do."""


@dataclass(frozen=True)
class Equipment:
    """What a worker has to work with. `gpu`: the one that it is pinned to."""

    engine: str | None = None
    gpu: Gpu | None = None


def equipment(
    queues: Collection[str], settings: Settings, engine: Engine, environment: Mapping[str, str] = os.environ
) -> Equipment:
    """What tasks of these queues will find here. Raises Unfit when something is missing."""
    _check_callbacks(settings)
    _check_pipelines(settings)
    if set(queues) <= _NO_ENGINE:
        return Equipment()
    try:
        executable(settings.compute_command)
        identity = engine.identity()
    except EngineNotFound as error:
        raise Unfit(error.message) from error
    finally:
        release()
    _check_sensors(environment)
    if lacks_vocabulary_tree(identity, environment):
        log.warning(
            "without a vocabulary tree, large sets will fail here; set ALICEVISION_VOCTREE to a copy of the file",
            source=VOCABULARY_TREE_SOURCE,
        )
    return Equipment(identity, _gpu(environment) if "gpu" in queues else None)


def _check_callbacks(settings: Settings) -> None:
    """What would fail at the first callback."""
    try:
        check_secret(settings.webhook_secret.get_secret_value())
        check_schedule(settings.callback_schedule)
    except ValueError as error:
        raise Unfit(str(error)) from error


def _check_pipelines(settings: Settings) -> None:
    """What would fail the first job of a pipeline."""
    try:
        PipelineShelf.load(settings.pipeline_folders)
    except GraphInvalid as error:
        raise Unfit(error.message) from error


def _check_sensors(environment: Mapping[str, str]) -> None:
    """AliceVision's database of camera sensors, where the environment promises one: photos without it fail late."""
    named, root = environment.get("ALICEVISION_SENSOR_DB"), environment.get("ALICEVISION_ROOT")
    promised = Path(named) if named else Path(root) / _SENSORS_BELOW_ROOT if root else None
    if promised is not None and not promised.is_file():
        variable = "ALICEVISION_SENSOR_DB" if named else "ALICEVISION_ROOT"
        raise Unfit(f"the sensor database {promised} is missing; set {variable} as the engine is installed")


def lacks_vocabulary_tree(identity: str, environment: Mapping[str, str]) -> bool:
    """Whether a release of Meshroom will look here in vain for what it compares the photos of a large set by.

    Meshroom's package takes the one below its own root by itself. Most jobs can do without: no reason to refuse.
    """
    named, root = environment.get("ALICEVISION_VOCTREE"), environment.get("ALICEVISION_ROOT")
    places = [Path(named)] if named else [Path(root) / _TREE_BELOW_ROOT] if root else []
    return names_release(identity) and not any(place.is_file() for place in places)


def _gpu(environment: Mapping[str, str]) -> Gpu | None:
    """The GPU of a node that is pinned to one; None on a machine where stages of `gpu` run on CPUs."""
    pinned = environment.get(VISIBLE_DEVICES)
    if NEEDS_GPU not in environment and pinned in (None, "", "-1"):
        return None
    gpus = find_gpus()
    visible = gpus.visible(pinned)
    if not visible.devices:
        reason = visible.reason or f"{VISIBLE_DEVICES}={pinned!r} hides all {len(gpus.devices)} of this machine"
        raise Unfit(f"no GPU is visible: {reason}; check the driver, and the container's access to it")
    return visible.devices[0]
