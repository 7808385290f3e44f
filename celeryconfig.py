"""Celery's configuration: each setting beside its reason.

The job store is the truth; a message is only a hint to look at a step. So nothing here keeps results, and losing or
doubling a message costs nothing but a moment.
"""

from kombu import Exchange, Queue

from meshroom_tasks import file_broker
from meshroom_tasks.settings import current_settings

_settings = current_settings()
_POLLING_SECONDS = 0.05

broker_url = _settings.broker
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # Outlive any outage of the broker; the default gives up after 100 tries.

if broker_url.startswith("filesystem://"):
    file_broker.install()
    _messages, _control = _settings.file_broker_folders
    _messages.mkdir(parents=True, exist_ok=True)
    broker_transport_options = {
        "data_folder_in": str(_messages),
        "data_folder_out": str(_messages),
        "control_folder": str(_control),
        "store_processed": False,
        "polling_interval": _POLLING_SECONDS,
    }
else:
    broker_transport_options = {"confirm_publish": True}  # A hint leaves the outbox only when the broker has it.

_exchange = Exchange("meshroom-tasks", type="topic", durable=True)
_names = ["ingest", "cpu", "gpu", "callback", *filter(None, [_settings.intensive_queue])]
task_queues = [Queue(name, _exchange, routing_key=name) for name in dict.fromkeys(_names)]
task_default_queue = "ingest"
task_default_exchange = "meshroom-tasks"
task_default_exchange_type = "topic"
task_default_routing_key = "ingest"
task_create_missing_queues = False  # A typo in a queue name fails loudly.

imports = ("meshroom_tasks.tasks", "meshroom_tasks.worker")  # Read by workers only: the web app sends tasks by name.

task_ignore_result = True  # State lives in SQL.
task_acks_late = True  # A message outlives the worker that died over it.
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1  # Nothing waits behind a stage that runs for hours.
worker_cancel_long_running_tasks_on_connection_loss = True  # Otherwise the redelivered copy runs beside the first.
worker_soft_shutdown_timeout = 0.0
worker_enable_soft_shutdown_on_idle = False
worker_send_task_events = True  # Flower
task_send_sent_event = True
task_track_started = True
worker_hijack_root_logger = False
worker_redirect_stdouts = False
control_queue_durable = True
control_queue_exclusive = False  # An exclusive control queue kills a worker that reconnects under its own name.
timezone = "UTC"
