"""One job on four machines whose workers are killed again and again: the same bytes as by hand on one.

The machines share the object store, the database and the broker; each has its own folder at the one workspace path.
The engine computes its files from every byte that a chunk reads, so that one wrong byte anywhere changes the result.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from meshroom_tasks.child_processes import Child
from meshroom_tasks.engine import Engine
from meshroom_tasks.handoff import StageCache, unpack
from meshroom_tasks.handoff.stage_cache import PREFIX, is_marker, key_of_marker
from meshroom_tasks.results import PUBLISHED_NODE_TYPES, ResultInputs, publish
from meshroom_tasks.settings import PROJECT
from meshroom_tasks.storage import LocalStorage, open_storage
from tests import scripted_engine
from tests.deployment import Deployment, deployed
from tests.handoff.chunk_by_chunk import Bench, Computed
from tests.machines import Machines, can_mount
from tests.scripted_engine import Run, overlapping
from tests.waiting import LONG, eventually

pytestmark = pytest.mark.skipif(not can_mount(), reason="a workspace for each worker at the same path needs root")

WORKERS = 4
PHOTOS = 11
STAGES = 12
CHUNKS = 62
PHOTO_BY_PHOTO = ("FeatureExtraction", "FeatureMatching", "PrepareDenseScene", "DepthMap", "DepthMapFilter")
ENGINE: dict[str, Any] = {"block_sizes": dict.fromkeys(PHOTO_BY_PHOTO, 1)}
SEEDS = (0, pytest.param(1, marks=pytest.mark.chaos), pytest.param(2, marks=pytest.mark.chaos))
LAST_KILL = 60
LAST_ENGINE = 40
"""Chunks that are computed when the last kill is due. For engines earlier, while there are many to choose from."""
BOOKKEEPING = re.compile(r"(\d+\.)?(status|log|statistics)")
OF_ITS_TIME = "report.json"

Digests = dict[tuple[str, str, int], dict[str, str]]
"""Of each chunk's files; by node type, uid and number of the chunk."""


@dataclass
class Shards:
    """A running service on machines of their own, and its job."""

    deployment: Deployment
    job_id: str

    @property
    def machines(self) -> Machines:
        service = self.deployment.service
        assert isinstance(service, Machines)
        return service

    def until(self, condition: Callable[[], Any]) -> Any:
        """Waits for it, while the supervisor starts again what has died."""

        def holds() -> Any:
            self.machines.keep_alive()
            return condition()

        return eventually(holds, seconds=2 * LONG, about=self.deployment.logs)

    def computed(self) -> list[Run]:
        return [run for run in self.deployment.ledger() if run.exit == 0]

    def process(self, worker: Child) -> psutil.Process:
        """That of a worker which takes tasks."""

        def is_ready() -> bool:
            assert worker.ready_file is not None
            return is_alive(worker) and worker.ready_file.exists()

        self.until(is_ready)
        assert worker.process is not None
        return psutil.Process(worker.process.pid)

    def see_only_their_own(self) -> None:
        """Each process of each worker, its engines too: at the workspace path is the disk of its machine."""
        workspace = self.deployment.settings.workspace
        for worker in self.machines.workers:
            above = self.process(worker)
            for process in [above, *above.children(recursive=True)]:
                try:
                    seen = Path(f"/proc/{process.pid}/root{workspace}").stat()
                except OSError:
                    continue  # It has ended.
                own = self.machines.disk_of(worker).stat()
                assert (seen.st_dev, seen.st_ino) == (own.st_dev, own.st_ino), (worker.name, process)
            assert any(self.machines.disk_of(worker).iterdir()), worker.name
        assert list(workspace.iterdir()) == []

    def tries(self, worker: Child) -> dict[tuple[str, int], int]:
        """How often each chunk that the worker holds was begun."""
        job = next(self.deployment.client.follow(self.job_id))
        return {
            (stage["name"], chunk["index"]): chunk["attempts"]
            for stage in job["stages"]
            for chunk in stage["chunks"]
            if chunk["state"] == "running" and (chunk["worker"] or "").startswith(f"{worker.name}@")
        }

    def may_fail(self, worker: Child) -> bool:
        """What was tried before is spared: a third try waits longer, and what ends a job is tested elsewhere."""
        return all(tries == 1 for tries in self.tries(worker).values())

    def stored(self) -> Digests:
        """What the object store holds of the job's chunks."""
        storage = open_storage(self.deployment.settings)
        cache, found = StageCache(storage), {}
        for key in [key_of_marker(key) for key in storage.list(PREFIX) if is_marker(key)]:
            entry = cache.entry_at(key)
            assert entry is not None
            folder = self.deployment.folder / "unpacked" / entry.digest
            with storage.open(entry.bundle_key) as bundle:
                unpack(bundle, folder, digest=entry.digest)
            node_type, uid, chunk, _lineage = key.split("/")[-4:]  # Logs are of their time, hence the lineage too.
            address = (node_type, uid, int(chunk.partition("x")[0]))
            assert address not in found, "a chunk was stored twice"
            found[address] = {
                path.name: sha256(path.read_bytes())
                for path in sorted(folder.iterdir())
                if not BOOKKEEPING.fullmatch(path.name)
            }
        return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_workers_change_no_byte(tmp_path: Path, seed: int) -> None:
    pipelines = write_pipeline(tmp_path / "pipelines")
    paced = {"from_inputs": True, "sleep": [0.1, 0.5], "until": str(tmp_path / "gate")}
    meeting = {**paced, "node_type": "FeatureExtraction", "attempts": [1], "meet": WORKERS}
    with deployed(
        tmp_path,
        script={**ENGINE, "stages": [meeting, paced]},
        make_service=partial(Machines, workers=WORKERS),
        extra_pipelines_dir=pipelines,
        lease_seconds=5.0,
    ) as deployment:
        deployment.open_gate()
        urls = sorted(deployment.photo_urls(PHOTOS))
        shards = Shards(deployment, deployment.submit(urls, pipeline="twelve"))
        shards.until(lambda: len({run.machine for run in shards.computed()}) == WORKERS)
        shards.see_only_their_own()
        for due, kill in kills(shards, Random(seed)):
            shards.until(lambda due=due: len(shards.computed()) >= due)
            killed = kill()
            print(f"{time.strftime('%H:%M:%S')} after {due} chunks: {killed}", flush=True)
        job = deployment.wait(shards.job_id, seconds=5 * LONG)
        assert job["status"] == "completed", f"{job['error']}\n{deployment.logs()}"
        shards.see_only_their_own()
        assert overlapping(deployment.ledger()) == []
        assert deployment.callback(shards.job_id)["status"] == "completed"
        stages = deployment.store.job(shards.job_id).stages
        made = ResultInputs(shards.job_id, {}, stages, PHOTOS, engine="")
        stored = shards.stored()

    engine = Engine(
        *scripted_engine.commands(),
        environment=scripted_engine.environment({**ENGINE, "stages": [{"from_inputs": True}]}),
    )
    bench = Bench(engine, deployment.photos, deployment.settings.workspace, tmp_path / "by-hand", fresh=False)
    by_hand = bench.run(pipelines / "twelve.mg")
    assert len({stage for stage, _ in by_hand}) == STAGES
    assert len(by_hand) == CHUNKS
    assert stored == {
        (computed.stage.node_type, computed.stage.uid, chunk): {
            name: sha256(data) for name, data in computed.files.items()
        }
        for (_, chunk), computed in by_hand.items()
    }
    published = {item["name"]: item["sha256"] for item in job["results"] if item["name"] != OF_ITS_TIME}
    assert {"texturedMesh.obj", "texturedMesh.mtl", "texture_1001.png", "model.glb"} <= set(published)
    assert published == published_by_hand(made, by_hand, tmp_path / "results")


def write_pipeline(folder: Path) -> Path:
    """The full graph with a second filtering of the mesh, under the name "twelve"."""
    document: dict[str, Any] = json.loads((PROJECT / "pipelines" / "default.mg").read_text())
    nodes = document["graph"]
    nodes["MeshFiltering_2"] = {
        "nodeType": "MeshFiltering",
        "inputs": {"inputMesh": "{MeshFiltering_1.outputMesh}", "smoothingIterations": 7},
    }
    nodes["Texturing_1"]["inputs"]["inputMesh"] = "{MeshFiltering_2.outputMesh}"
    folder.mkdir()
    (folder / "twelve.mg").write_text(json.dumps(document))
    return folder


def published_by_hand(inputs: ResultInputs, by_hand: dict[tuple[str, int], Computed], folder: Path) -> dict[str, str]:
    """The digests of the results that these chunks give, by name."""
    folders = {}
    for (name, _), computed in by_hand.items():
        if computed.stage.node_type in PUBLISHED_NODE_TYPES:
            folders[name] = folder / name
            folders[name].mkdir(parents=True)
            for file, data in computed.files.items():
                (folders[name] / file).write_bytes(data)
    files = publish(replace(inputs, folders=folders), folder / "made", LocalStorage(folder / "objects")).files
    return {file.name: file.sha256 for file in files if file.name != OF_ITS_TIME}


def kills(shards: Shards, random: Random) -> list[tuple[int, Callable[[], str]]]:
    """Each worker once, three pool processes and three engines; after how many chunks, in this order."""
    drawn: list[tuple[int, Callable[[], str]]] = []
    for worker in shards.machines.stage_workers:
        drawn.append((random.randint(1, LAST_KILL), partial(kill_worker, shards, worker)))
    for _ in range(3):
        drawn.append((random.randint(1, LAST_KILL), partial(kill_pool_process, shards, random)))
        drawn.append((random.randint(1, LAST_ENGINE), partial(kill_engine, shards, random)))
    return sorted(drawn, key=itemgetter(0))


def kill_worker(shards: Shards, worker: Child) -> str:
    """Also one that is just starting."""
    shards.until(lambda: shards.may_fail(worker) and is_alive(worker))
    assert worker.process is not None
    kill_now(psutil.Process(worker.process.pid))
    return worker.name


def kill_pool_process(shards: Shards, random: Random) -> str:
    def killed() -> str:
        workers = [worker for worker in shards.machines.stage_workers if is_alive(worker)]
        for worker in random.sample(workers, len(workers)):
            if shards.may_fail(worker) and (pool := pool_processes(worker)):
                kill_now(pool[0])
                return f"the pool process of {worker.name}"
        return ""

    return str(shards.until(killed))


def kill_engine(shards: Shards, random: Random) -> str:
    """One of a step that was not tried before: an engine that is killed from outside twice fails its job."""

    def killed() -> str:
        held = [shards.tries(worker) for worker in shards.machines.stage_workers]
        first = {chunk for tries in held for chunk, count in tries.items() if count == 1}
        alive = {process.pid: process for process in shards.deployment.stage_processes()}
        running = [run for run in shards.deployment.ledger() if run.ended is None and run.pid in alive]
        runs = [run for run in running if (run.node, run.chunk) in first]
        if not runs:
            # Those that wait at the gate may be all that keeps the next ones from their turn.
            (shards.deployment.open_gate if running else shards.deployment.close_gate)()
            return ""
        run = random.choice(runs)
        kill_now(alive[run.pid])
        return f"the engine of {run.node}, chunk {run.chunk}"

    shards.deployment.close_gate()  # Else they could all end while one looks for them.
    try:
        return str(shards.until(killed))
    finally:
        shards.deployment.open_gate()


def is_alive(worker: Child) -> bool:
    return worker.process is not None and worker.process.poll() is None


def pool_processes(worker: Child) -> list[psutil.Process]:
    """None while it is starting, or has just ended."""
    assert worker.process is not None
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(worker.process.pid).children()
    return []


def kill_now(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # An engine that has just come to its end.
        process.kill()
        process.wait(LONG)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
