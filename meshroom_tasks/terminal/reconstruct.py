"""`reconstruct PHOTOS... OUT`: the whole service for one job, on this machine, for as long as the job takes."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import click

from meshroom_tasks.client import Client
from meshroom_tasks.local_service import HeadlessService
from meshroom_tasks.ports import free_port
from meshroom_tasks.settings import load_settings
from meshroom_tasks.terminal.commands import finish, job_options, request_of, send
from meshroom_tasks.terminal.service import FAILED, console, failures

_WORK = ".meshroom-tasks"
_LOOK_SECONDS = 0.3


@click.command()
@click.argument("photos", nargs=-1, required=True)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@job_options
@click.option("--keep", is_flag=True, help="Keep what was computed, in OUT/.meshroom-tasks, also when it went well.")
def reconstruct(photos: Sequence[str], out: Path, keep: bool, **given: Any) -> None:
    """Make a model of PHOTOS (files, folders, ZIPs, addresses) in OUT, on this machine, with no service running.

    What breaks off goes on where it stopped when it is called again. Exit codes: those of `submit`.
    """
    request, told, work = request_of(**given), console(), out / _WORK
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with failures():
        with _service(work) as service:
            with told.status("starting ..."):
                ready = service.wait_until_ready()
            if not ready:
                for reason in service.refusals.values():
                    told.print(reason, markup=False)
                told.print(f"nothing could be started; see {work / 'logs'}", markup=False)
                raise click.exceptions.Exit(FAILED)
            with Client(service.url, service.api_key) as client:
                finish(client, send(client, photos, request, told), out, told)
        if not keep:
            shutil.rmtree(work)


@contextmanager
def _service(work: Path) -> Iterator[HeadlessService]:
    """Watched over until the end of the block, and stopped then, children included."""
    service = HeadlessService(load_settings(data_dir=work.resolve(), port=free_port()))
    over = Event()

    def watch_over() -> None:
        while not over.wait(_LOOK_SECONDS):
            service.keep_alive()

    watcher = Thread(target=watch_over, name="watch-over", daemon=True)
    try:
        service.start()
        watcher.start()
        yield service
    finally:
        over.set()
        if watcher.is_alive():
            watcher.join()
        service.stop()
