"""Logging, once for all processes: structlog in front of the standard library, as JSON lines or for a console.

What is bound here (`job_id`, `request_id`, `stage`, ...) stands in every line until it is unbound, whoever logs it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_NOISY = ("amqp", "botocore", "urllib3", "PIL", "kombu", "alembic", "tornado.access", "numba")

# By default they show the variables of each frame: keys, passwords, presigned addresses.
_TRACEBACKS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

bind = structlog.contextvars.bind_contextvars
clear = structlog.contextvars.clear_contextvars
bound = structlog.contextvars.bound_contextvars


def logger(name: str) -> Any:
    return structlog.stdlib.get_logger(name)


def configure_logging(level: str = "INFO", style: str = "console") -> None:
    """Send everything that this process logs to standard error; `style` is `console` or `json`."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _one_line,
    ]
    final: list[structlog.types.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if style == "json":
        final += [structlog.processors.ExceptionRenderer(_TRACEBACKS), structlog.processors.JSONRenderer()]
    else:
        final += [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=final, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)  # It warns of every URL without a host.


def _one_line(_logger: Any, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Whoever's words come into a message: they forge no line and write nothing to a terminal."""
    text = event.get("event")
    if isinstance(text, str) and not text.isprintable():
        event["event"] = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    return event
