"""The commands of the terminal client."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from meshroom_tasks.client import Client, Job, JobError
from meshroom_tasks.client.answers import Status
from meshroom_tasks.client.photos import find_photos
from meshroom_tasks.terminal.display import show, transfer
from meshroom_tasks.terminal.service import CANCELLED, FAILED, console, service_options
from meshroom_tasks.terminal.settings_given import parse_settings

_WIDE = 200
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def job_options(command: Any) -> Any:
    """What a job may be given, the same for `submit` and `reconstruct`."""
    for option in reversed(
        (
            click.option("--pipeline", default="default", show_default=True, help="See `GET /api/v1/pipelines`."),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="NODE.ATTRIBUTE=VALUE",
                help="Any number; as they are listed.",
            ),
            click.option("--output", "outputs", multiple=True, help="obj, glb, usdz or ply; default: obj and glb."),
            click.option("--field-of-view", type=float, help="Degrees, for photos that tell no focal length."),
            click.option("--sensor-width", type=float, help="Millimetres, for cameras that nobody knows."),
        )
    ):
        command = option(command)
    return command


def request_of(
    pipeline: str,
    settings: Sequence[str],
    outputs: Sequence[str],
    field_of_view: float | None,
    sensor_width: float | None,
) -> dict[str, Any]:
    """What of the options a request says. Raises click.UsageError."""
    camera = {"field_of_view_degrees": field_of_view, "sensor_width_mm": sensor_width}
    camera = {name: value for name, value in camera.items() if value is not None}
    try:
        given = parse_settings(settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    optional = {"settings": given, "outputs": list(outputs), "camera": camera}
    return {"pipeline": pipeline, **{name: value for name, value in optional.items() if value}}


@click.command()
@click.argument("photos", nargs=-1, required=True)
@job_options
@click.option("--priority", type=click.IntRange(0, 9), help="Higher goes first; default: 5.")
@click.option("--callback-url", help="Where the outcome is posted.")
@click.option("--metadata", help="A JSON object; comes back in the job and in the callback.")
@click.option("--wait", is_flag=True, help="Until the job has ended; the exit code tells how.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Download the results; implies --wait.")
@service_options
def submit(
    client: Client,
    photos: Sequence[str],
    priority: int | None,
    callback_url: str | None,
    metadata: str | None,
    wait: bool,
    out: Path | None,
    **given: Any,
) -> None:
    """Make a model of PHOTOS: files, folders, ZIPs, addresses (https://, s3://). Prints the id of the job.

    Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 cancelled, 4 no service.
    """
    request = request_of(**given)
    more = {"priority": priority, "callback_url": callback_url, "metadata": _metadata(metadata)}
    request |= {name: value for name, value in more.items() if value is not None}
    told = console()
    job_id = send(client, photos, request, told)
    click.echo(job_id)
    if wait or out:
        finish(client, job_id, out, told)


@click.command("jobs")
@click.option("--status", type=click.Choice(["queued", "running", "completed", "failed", "cancelled"]))
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@_as_json
@service_options
def list_jobs(client: Client, status: Any, limit: int, as_json: bool) -> None:
    """Your jobs, newest first."""
    found = list(client.jobs(status=status, limit=limit))
    if as_json:
        click.echo(json.dumps([job.model_dump(mode="json") for job in found], ensure_ascii=False, indent=2))
        return
    table = Table("job", "status", "progress", "photos", "pipeline", "created", "what is wrong", box=None)
    for job in found:
        wrong = job.error.code if job.error else ""
        created = f"{job.created_at:%Y-%m-%d %H:%M}"
        table.add_row(job.id, job.status, f"{job.progress:.0%}", str(job.image_count), job.pipeline, created, wrong)
    output = Console(highlight=False)
    Console(width=None if output.is_terminal else _WIDE, highlight=False).print(table)


@click.command()
@click.argument("job_id")
@service_options
def watch(client: Client, job_id: str) -> None:
    """Follow a job until it has ended; the exit code is that of `submit --wait`."""
    finish(client, job_id, None, console())


@click.command()
@click.argument("job_id")
@click.argument("stage")
@click.option("--chunk", type=click.IntRange(0), default=0, show_default=True)
@service_options
def logs(client: Client, job_id: str, stage: str, chunk: int) -> None:
    """The log of a STAGE (`DepthMap`), until it has ended."""
    for piece in client.log(job_id, stage, chunk=chunk):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@click.command()
@click.argument("job_ids", nargs=-1, required=True)
@service_options
def cancel(client: Client, job_ids: Sequence[str]) -> None:
    """Stop jobs: nothing of them starts any more, and what runs is ended."""
    for job_id in job_ids:
        job = client.cancel(job_id)
        click.echo(f"{job.id} {'is cancelled' if job.ended else 'is being cancelled'}")


@click.command()
@click.argument("job_id")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Default: here.")
@service_options
def download(client: Client, job_id: str, out: Path) -> None:
    """The results of a job, each compared with its digest; prints their paths."""
    fetch(client, client.job(job_id), out, console())


def send(client: Client, photos: Sequence[str | Path], request: dict[str, Any], told: Console) -> str:
    """The id of the job. Bytes that go are shown."""
    size = sum(path.stat().st_size for path in find_photos(photos).files.values())
    with transfer(told, "sending", size) as sent:
        return client.reconstruct(photos, sent=sent, **request)


def finish(client: Client, job_id: str, out: Path | None, told: Console) -> None:
    """Follow, say what became of it, and fetch its results if somebody wants them. Ends with an exit code."""
    job = show(told, client.follow(job_id))
    for warning in job.warnings:
        told.print(f"warning: {warning.get('message') or warning.get('code')}")
    if job.error is not None:
        explain(job.status, job.error, told)
    if job.status != "completed":
        raise click.exceptions.Exit(CANCELLED if job.status == "cancelled" else FAILED)
    if out is not None:
        fetch(client, job, out, told)


def explain(status: Status, error: JobError, told: Console) -> None:
    where = f" in {error.stage}" if error.stage else ""
    chunk = "" if error.chunk is None else f", chunk {error.chunk}"
    worker = f" on {error.worker}" if error.worker else ""
    told.print(f"{status}{where}{chunk}{worker}: {error.message} ({error.code})")
    for line in error.log_tail[-10:]:
        told.print(f"    {line}", markup=False)


def fetch(client: Client, job: Job, out: Path, told: Console) -> None:
    with transfer(told, "fetching", sum(result.size for result in job.results)) as received:
        paths = client.download(job, out, received=received)
    for path in paths:
        click.echo(path)


def _metadata(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--metadata is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError("--metadata must be a JSON object")
    return value
