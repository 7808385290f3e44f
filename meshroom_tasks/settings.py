"""One typed, frozen settings object: environment first, then secrets files, then `app_config.json`, then defaults.

Every setting has an upper-case name in the environment (`DATA_DIR`), the same name as a file under the secrets
folder, and, where the table `_CONFIG_PATHS` says so, a place in the JSON file.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent

CommaSeparated = Annotated[tuple[str, ...], NoDecode]

_CONFIG_PATHS = {
    "log_level": ("logging", "level"),
    "log_format": ("logging", "format"),
    "aws_endpoint_url": ("aws", "endpoint_url"),
    "aws_bucket_name": ("aws", "bucket_name"),
    "broker_host": ("broker", "host"),
    "broker_port": ("broker", "port"),
    "broker_queue_name": ("broker", "queue_name"),
    "meshroom_binary": ("meshroom", "binary"),
    "meshroom_batch": ("meshroom", "batch"),
    "meshroom_compute": ("meshroom", "compute"),
    "pipelines_dir": ("meshroom", "pipeline_path"),
    "workspace_dir": ("meshroom", "workspace_dir"),
    "cpu_workers": ("meshroom", "resources", "max_concurrent_jobs"),
    "stage_timeout_seconds": ("meshroom", "resources", "timeout_seconds"),
}


_LISTS = ("worker_queues", "image_private_hosts", "image_buckets", "callback_private_hosts", "callback_schedule")


class _ConfigFileSource(PydanticBaseSettingsSource):
    """The sections of `app_config.json` (or of the file that `APP_CONFIG` names), flattened to setting names."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        value: Any = self._content()
        for key in _CONFIG_PATHS.get(field_name, (None,)):
            value = value.get(key) if isinstance(value, dict) else None
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(None, name)[0] for name in _CONFIG_PATHS}
        return {name: value for name, value in found.items() if value is not None}

    def _content(self) -> dict[str, Any]:
        path = Path(os.environ.get("APP_CONFIG", "app_config.json"))
        if not path.is_file():
            return {}
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"{path} must hold a JSON object")
        return content


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=False,
        hide_input_in_errors=True,
        env_ignore_empty=True,  # Also where a secrets file has a value: an empty variable is none.
    )

    # Web
    port: int = 8000
    bind: str = "127.0.0.1"
    public_url: str = ""
    """Address under which clients reach the service; default `http://127.0.0.1:<port>`."""
    x_api_key: SecretStr = SecretStr("")
    """The first key: of the tenant "default", with all scopes. Others are made by `keys create`."""
    wrong_keys_per_minute: int = Field(20, ge=1)
    """From one address; beyond it they are answered with 429."""
    submissions_per_minute: int = Field(0, ge=0)
    """Of one key; 0: no limit. This and the one above are counted by each process of the web app."""
    web_workers: int = Field(2, ge=1)
    """Processes of the web app."""
    metrics_token: SecretStr = SecretStr("")
    """Whoever sends it as `Authorization: Bearer` may read /metrics; so may keys with the scope `admin`."""
    proxy_hops: int = Field(0, ge=0)
    """Proxies in front of the web app that tell the client's address in X-Forwarded-For."""
    flower_port: int = 5555
    pages_open: bool = False
    """Whether the pages need no key. `make up` wants it so on this machine alone; see LocalService."""
    session_secret: SecretStr = SecretStr("")
    """Signs the cookies of those who are signed in; default: `session_secret` in the data folder, made on first use."""

    # Where things are kept
    data_dir: Path = Path("data")
    database_url: str = ""
    database_pool_size: int = 10
    """Largest number of connections of one process; they are made as they are needed. These five: PostgreSQL only."""
    database_pool_timeout_seconds: float = 10.0
    database_connect_timeout_seconds: int = 5
    database_statement_timeout_seconds: float = 30.0
    database_lock_timeout_seconds: float = 10.0
    storage_url: str = ""
    workspace_dir: Path | None = None
    workspace_max_bytes: int = 0
    """What all workspaces of a machine may take together; 0: what the file system has."""
    workspace_keep_free_bytes: int = 500_000_000
    """What the file system of the workspaces must have left."""
    pipelines_dir: Path = PROJECT / "pipelines"
    extra_pipelines_dir: Path | None = None
    """Templates beside those of `pipelines_dir`; default: `pipelines` in the data folder, if it is there."""

    # Stage cache
    cache_max_bytes: int = Field(default=0, ge=0)
    """Size of all bundles; beyond it the least recently used go, but never what a live job needs. 0: no limit."""
    cache_max_age_seconds: float = Field(default=0.0, ge=0)
    """What was not used for so long goes. 0: no limit."""

    # Broker
    broker_url: str = ""
    broker_host: str = ""
    broker_port: int = 5672
    broker_user: str = ""
    broker_password: SecretStr = SecretStr("")
    broker_queue_name: str = ""
    broker_heartbeat_seconds: int = 30
    """RabbitMQ only. A connection without a sign of life for twice as long is given up, by either side."""

    # S3
    aws_endpoint_url: str = ""
    """Of another server than AWS. Where it is set and STORAGE_URL is not, objects are kept in `aws_bucket_name`."""
    aws_public_endpoint_url: str = ""
    """Address under which clients reach the same server, if it is another one."""
    aws_presigned_urls: bool = True
    """Whether clients fetch results from the server itself; if not, they get them through the web app."""
    aws_region: str = ""
    aws_bucket_name: str = "3d-generator"
    aws_access_key_id: str = ""
    aws_secret_access_key: SecretStr = SecretStr("")
    aws_session_token: SecretStr = SecretStr("")
    """Belongs to keys that expire."""

    # Engine
    meshroom_binary: str = ""
    meshroom_batch: str = ""
    meshroom_compute: str = ""
    engine_version: str = ""
    """Overrides what the engine says of itself; part of every cache address."""
    engine_threads: int = 0
    chunk_block_size: str = ""
    """Photos in a chunk at most: a number, or "auto" (one chunk for each worker); empty: as the engine cuts."""
    stage_timeout_seconds: int = 0
    """Upper bound for one chunk; 0: the limit of `pipelines/stages.toml`."""
    plan_timeout_seconds: float = 300.0

    # Results
    light_glb_from_bytes: int = Field(8_000_000, ge=0)
    """A GLB of this size has a light copy beside it, which pages show first; 0: none has."""

    # Workers
    cpu_workers: int = 0
    """Processes that run CPU (and, without a GPU worker, GPU) stages; 0: one for every two cores."""
    worker_queues: CommaSeparated = ()
    """What the CPU workers consume; default: `cpu`, and `gpu` too where no GPU is found (see worker_node.py)."""
    worker_memory: Literal["normal", "intensive"] = "intensive"
    """CPU workers that are `normal` leave the stages of INTENSIVE_QUEUE to others."""
    intensive_queue: str = ""
    """Where the CPU stages that `stages.toml` calls memory-intensive go; default: `cpu`, with all others."""
    worker_seen_seconds: float = 5.0
    """How often a worker writes that it is there."""
    drain_seconds: float = 0.0
    """How long a worker that is told to stop lets its running steps go on before it gives them back."""
    lease_seconds: float = 30.0
    heartbeat_seconds: float = 2.0
    sweep_seconds: float = 2.0
    hint_seconds: float = 10.0
    """A step that is ready and not taken for this long is announced again."""

    # Tenants: what each may have at a time, unless it has limits of its own; 0: no limit
    tenant_max_running_jobs: int = Field(0, ge=0)
    tenant_max_queued_jobs: int = Field(0, ge=0)
    tenant_max_storage_bytes: int = Field(0, ge=0)

    # Ingest
    image_private_hosts: CommaSeparated = ()
    image_buckets: CommaSeparated = ()
    """Buckets of the S3 server that requests of any tenant may name photos in, as `s3://bucket/key`."""
    max_images: int = 500
    min_images: int = 3
    max_image_bytes: int = 100_000_000
    max_image_pixels: int = 200_000_000
    max_job_bytes: int = 20_000_000_000
    image_timeout_seconds: float = 120.0
    skip_bad_images: bool = False
    upload_expire_seconds: float = Field(default=86_400.0, gt=0, le=604_800)
    """How long an upload is kept; what a live job needs stays longer."""

    # Retention: seconds after the end of a job; 0: for ever
    job_expire_seconds: float = Field(0.0, ge=0)
    """A job goes with all that it has; a request may say otherwise."""
    job_expire_max_seconds: float = Field(0.0, ge=0)
    """The most that requests may ask for, at submission and to extend; 0: no limit."""
    result_expire_seconds: float = Field(0.0, ge=0)
    """The results go, the job stays."""
    expiry_notice_seconds: float = Field(86_400.0, ge=0)
    """How long before that the event `job.expiring` is posted."""
    tidy_seconds: float = Field(600.0, gt=0)
    """How often the sweeper looks what may be removed, and a worker what its workspace need not keep."""

    # Quality
    min_registered_share: float = Field(0.3, ge=0, le=1)
    """The share of the photos that must be placed for a job to go on after StructureFromMotion; a request may set
    another."""

    # Callbacks
    callback_private_hosts: CommaSeparated = ()
    webhook_secret: SecretStr = SecretStr("")
    callback_connect_seconds: float = 5.0
    callback_total_seconds: float = 20.0
    callback_schedule: CommaSeparated = ("0", "5", "30", "300", "1800", "7200", "18000", "36000", "36000")

    # Logs
    log_level: str = "INFO"
    log_format: str = "console"

    @field_validator(*_LISTS, mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("chunk_block_size")
    @classmethod
    def _block_size(cls, value: str) -> str:
        if value not in ("", "auto") and not (value.isdigit() and int(value) > 0):
            raise ValueError("is a number above 0, or auto, or empty")
        return value

    @field_validator("extra_pipelines_dir", mode="before")
    @classmethod
    def _none_if_empty(cls, value: Any) -> Any:
        return value or None

    @field_validator("data_dir", "workspace_dir", "pipelines_dir", "extra_pipelines_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, file_secret_settings, _ConfigFileSource(settings_cls))

    @property
    def base_url(self) -> str:
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def database(self) -> str:
        """SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.data_dir / 'jobs.sqlite'}"

    @property
    def storage(self) -> str:
        if self.storage_url:
            return self.storage_url
        return f"s3://{self.aws_bucket_name}" if self.aws_endpoint_url else (self.data_dir / "storage").as_uri()

    @property
    def photo_buckets(self) -> frozenset[str]:
        """Where requests may name photos: never the bucket of our own objects, which are everybody's."""
        own = urlsplit(self.storage)
        return frozenset(self.image_buckets) - ({own.netloc} if own.scheme == "s3" else set())

    @property
    def workspace(self) -> Path:
        return self.workspace_dir or self.data_dir / "workspace"

    @property
    def pipeline_folders(self) -> tuple[Path, ...]:
        """Where pipelines come from; the last one wins."""
        extra = self.extra_pipelines_dir or self.data_dir / "pipelines"
        is_there = self.extra_pipelines_dir is not None or extra.is_dir()
        return (self.pipelines_dir, extra) if is_there else (self.pipelines_dir,)

    @property
    def broker(self) -> str:
        if self.broker_url:
            return self.broker_url
        if self.broker_host:
            user, secret = (
                quote(part, safe="") for part in (self.broker_user, self.broker_password.get_secret_value())
            )
            return f"amqp://{user}:{secret}@{self.broker_host}:{self.broker_port}//"
        return "filesystem://"

    @property
    def file_broker_folders(self) -> tuple[Path, Path]:
        """Messages and bindings of the `filesystem://` broker."""
        return self.data_dir / "broker" / "messages", self.data_dir / "broker" / "control"

    @property
    def worker_processes(self) -> int:
        return self.cpu_workers or max(1, (os.cpu_count() or 2) // 2)

    @property
    def threads_per_engine(self) -> int:
        return self.engine_threads or max(1, (os.cpu_count() or 1) // self.worker_processes)

    @property
    def batch_command(self) -> tuple[str, ...]:
        """The command that plans a graph: as set, else Meshroom's on PATH, else the CPU engine."""
        return self._command(self.meshroom_batch, "meshroom_batch")

    @property
    def compute_command(self) -> tuple[str, ...]:
        """The command that computes one chunk."""
        return self._command(self.meshroom_compute, "meshroom_compute")

    def _command(self, configured: str, name: str) -> tuple[str, ...]:
        if configured:
            return tuple(shlex.split(configured))
        if self.meshroom_binary:
            return (str(Path(self.meshroom_binary) / name),)
        if (found := shutil.which(name)) is not None:
            return (found,)
        return (sys.executable, "-m", f"meshroom_tasks.cpu_engine.{name}")

    def as_environment(self) -> dict[str, str]:
        """What a child process must see to come to the same settings (secrets included: never log it)."""
        environment = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            if isinstance(value, tuple):
                value = ",".join(value)
            if value is not None and value != "":
                environment[name.upper()] = str(value)
        return environment


def load_settings(**overrides: Any) -> Settings:
    """Read the settings anew; `overrides` win over everything."""
    secrets = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
    found: dict[str, Any] = {"_secrets_dir": secrets} if secrets.is_dir() else {}
    return Settings(**found, **overrides)


def python_path() -> str:
    """PYTHONPATH of a child process that has to import this project."""
    return os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH", ""))))


@lru_cache(maxsize=1)
def current_settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
