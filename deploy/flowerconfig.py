"""Flower in a container: it can be reached as far as its port is published, and never without a password."""

import os
from pathlib import Path

from meshroom_tasks.settings import current_settings

_settings = current_settings()
_password = Path(os.environ.get("SECRETS_DIR", "/run/secrets")) / "flower_password"

address = "0.0.0.0"  # noqa: S104  # nosec B104  # the container's; its port is published to loopback
port = 5555
basic_auth = [f"admin:{_password.read_text().strip()}"]
if not _settings.broker_url:
    # Lengths of queues, from the management API of the bundled RabbitMQ.
    broker_api = _settings.broker.replace("amqp://", "http://").replace(":5672//", ":15672/api/")
