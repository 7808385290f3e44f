"""`gunicorn -c web/gunicorn_conf.py 'web.app:create_app()'`: one process with threads, which drains on SIGTERM."""

from __future__ import annotations

import gc
import sys
from typing import Any

from meshroom_tasks.child_processes import EXIT_REFUSED
from meshroom_tasks.errors import GraphInvalid
from meshroom_tasks.logs import configure_logging, logger
from meshroom_tasks.pipeline_folders import PipelineShelf
from meshroom_tasks.settings import current_settings
from web.services import THREADS, end_streams_on_stop

_SWITCH_SECONDS = 0.0005
"""A thread that comes back from SQLite, often with the write lock, gets the interpreter after so long at the latest.

With Python's 5 ms the slowest of a hundred submissions took ten times as long; see benchmarks.submissions.
"""

_settings = current_settings()
configure_logging(_settings.log_level, _settings.log_format)

wsgi_app = "web.app:create_app()"
proc_name = "meshroom-tasks-web"
bind = [f"{_settings.bind}:{_settings.port}"]
worker_class = "web.gunicorn_worker.Worker"
workers = _settings.web_workers
threads = THREADS
timeout = 60
graceful_timeout = 30
keepalive = 5
max_requests = 0
control_socket_disable = True
logger_class = "web.access_log.StructuredLogger"


def on_starting(server: Any) -> None:
    """Better no web app than one that takes jobs for pipelines which cannot be run."""
    try:
        PipelineShelf.load(_settings.pipeline_folders)
    except GraphInvalid as error:
        logger("web").critical("the web app does not start", reason=error.message)
        raise SystemExit(EXIT_REFUSED) from None


def post_worker_init(worker: Any) -> None:
    """The app is loaded: from now on requests are answered."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # A look through all that was imported, for garbage, held a request up for 140 ms.
    end_streams_on_stop(worker.wsgi)
    logger("web").info("ready", url=_settings.base_url, bind=bind[0], pid=worker.pid)
