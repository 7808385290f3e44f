"""Certificates for servers of tests, made by the command `openssl`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.waiting import LONG

EXPIRED = -1
"""For `days`."""


def self_signed(folder: Path, name: str, days: int = 1) -> Path:
    """A certificate for `name` (an alternative name as openssl writes it) and its key, in one file."""
    _openssl(
        folder,
        f"req -new -newkey rsa:2048 -nodes -subj /CN=test -addext subjectAltName={name} -keyout key.pem",
        "request.pem",
    )
    signed = f"x509 -req -in request.pem -signkey key.pem -copy_extensions copy -days {days}"
    _openssl(folder, signed, "cert.pem")
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


def _openssl(folder: Path, arguments: str, output: str) -> None:
    command = ["openssl", *arguments.split(), "-out", output]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=LONG)
    except FileNotFoundError:
        pytest.skip("no openssl command to make a certificate with")
