"""Celery's configuration: each setting beside its reason. The queues and their arguments: meshroom_tasks/topology.py.

The job store is the truth; a message is only a hint to look at a step. So nothing here keeps results, and losing or
doubling a message costs nothing but a moment.
"""

from meshroom_tasks import file_broker, topology
from meshroom_tasks.settings import current_settings

_settings = current_settings()
_POLLING_SECONDS = 0.05

broker_url = _settings.broker
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # Outlive any outage of the broker; the default gives up after 100 tries.
broker_channel_error_retry = True  # A channel that the broker closes (405, 406) is opened again; else the worker exits.

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
    broker_transport_options = {
        "confirm_publish": True,  # A hint leaves the outbox only when the broker has it.
        # Events of a worker wait for that too: without an end, a broker that falls silent would hang it for ever.
        "read_timeout": 2 * _settings.broker_heartbeat_seconds,
    }
    # A broker, or a network, that is silent for twice as many seconds is given up.
    broker_heartbeat = _settings.broker_heartbeat_seconds
    broker_connection_timeout = 4.0

task_queues = topology.work_queues(topology.names(_settings.intensive_queue))
task_default_queue = "ingest"
task_default_exchange = topology.EXCHANGE.name
task_default_exchange_type = topology.EXCHANGE.type
task_default_routing_key = "ingest"
task_create_missing_queues = False  # A typo in a queue name fails loudly.

imports = ("meshroom_tasks.tasks", "meshroom_tasks.worker")  # Read by workers only: the web app sends tasks by name.

task_ignore_result = True  # State lives in SQL.
task_acks_late = True  # A message outlives the worker that died over it.
task_reject_on_worker_lost = True  # ... also when only its pool process died. The delivery limit ends a loop of these.
task_acks_on_failure = True  # The store has the failure, and sends a hint when it is time to try again.
task_acks_on_timeout = True
worker_prefetch_multiplier = 1  # Nothing waits behind a stage that runs for hours.
# A lost broker stops no stage. The message comes back and finds the step taken, by the lease that its worker goes on
# renewing in SQL: two copies never run at once.
worker_cancel_long_running_tasks_on_connection_loss = False
worker_consumer = "meshroom_tasks.consumer:Consumer"  # Undecodable messages become dead letters.
worker_soft_shutdown_timeout = 0.0
worker_enable_soft_shutdown_on_idle = False
worker_send_task_events = True  # Flower
task_send_sent_event = True
task_track_started = True
worker_hijack_root_logger = False
worker_redirect_stdouts = False
control_queue_durable = True  # RabbitMQ 4.3 refuses queues that are neither durable nor exclusive.
control_queue_exclusive = False  # An exclusive control queue kills a worker that reconnects under its own name.
timezone = "UTC"
