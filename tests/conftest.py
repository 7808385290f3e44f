"""Servers that tests of several areas share, one of each for a session."""

from __future__ import annotations

from tests.servers.postgres import postgres

__all__ = ["postgres"]
