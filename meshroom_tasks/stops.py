"""Reasons to stop that a step's holder is told of. None is a failure of the step."""

from __future__ import annotations

from meshroom_tasks.errors import ServiceError
from meshroom_tasks.retry_policies import NEVER, PATIENTLY


class Stopped(ServiceError):
    code = "stopped"
    retry = NEVER


class JobCancelled(Stopped):
    code = "job_cancelled"


class LeaseLost(Stopped):
    """The holder was cut off from the store; where nobody else has the step yet, it goes back to the queue."""

    code = "lease_lost"
    retry = PATIENTLY


class InputsOutdated(Stopped):
    """What the step reads is computed again; when its holder has stopped, the step waits for that."""

    code = "inputs_outdated"


class WaitingForDisk(Stopped):
    """The worker has no room for the step, which goes back to the queue without counting as an attempt."""

    code = "waiting_for_disk"


class PlannedAnew(Stopped):
    code = "planned_anew"


class Draining(Stopped):
    """The worker was told to stop; the step goes back to the queue without counting as an attempt."""

    code = "worker_draining"
