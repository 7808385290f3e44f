"""Ports of loopback for servers that are told their port before they start."""

from __future__ import annotations

import random
import socket
from contextlib import closing

_FIRST, _LAST = 20_000, 32_000
"""Below what kernels give to outgoing connections: one of those must not take a port that a server is to have."""

_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other process that asks here gets as long as this one lives."""
    for port in random.sample(range(_FIRST, _LAST), _LAST - _FIRST):  # nosec B311  # nothing secret
        if _is_free(port) and _reserve(port):
            return port
    raise OSError(f"no port from {_FIRST} to {_LAST} is free")


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """A name that the kernel keeps for one process at a time, in the same network namespace as the port."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0meshroom-tasks/port/{port}")
    except OSError:
        claim.close()
        return False
    _reserved.append(claim)
    return True
