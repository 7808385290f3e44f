"""Everything the service fetches or posts leaves through here: addresses judged, transfers bounded.

`addresses` says what may be reached (pure), `session` holds sockets to it, `transfer` bounds time and bytes.
"""

from meshroom_tasks.egress.addresses import Egress, check_url, is_public, redact
from meshroom_tasks.egress.session import guarded_session
from meshroom_tasks.egress.transfer import BodyTooLargeError, Deadline, Reply, TransferError, parse_retry_after, stream

__all__ = [
    "BodyTooLargeError",
    "Deadline",
    "Egress",
    "Reply",
    "TransferError",
    "check_url",
    "guarded_session",
    "is_public",
    "parse_retry_after",
    "redact",
    "stream",
]
