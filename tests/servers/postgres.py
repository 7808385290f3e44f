"""A private PostgreSQL: its own cluster in its own folder on a free port of loopback, gone at the end.

PostgreSQL refuses to run as root; then an unprivileged user does. A database for a test is a copy of a template.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from meshroom_tasks.ports import free_port
from tests.servers import apt, tied

_PACKAGE = "postgresql"
_START_SECONDS = 120
_USERS = ("postgres", "nobody")
# Safe as long as the machine itself does not crash: whatever happens to the processes, nothing is lost.
_FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_connections": "80"}


class PostgresServer:
    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._port = free_port()
        self._numbers = itertools.count(1)
        self._templates: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        return f"postgresql://service:secret@127.0.0.1:{self._port}/{database}"

    def create(self) -> None:
        (self._folder / "password").write_text("secret")
        if (user := _unprivileged()) is not None:
            shutil.chown(self._folder, user)
            shutil.chown(self._folder / "password", user)
        options = ["--username=service", f"--pwfile={self._folder / 'password'}", "--auth=scram-sha-256", "--no-sync"]
        command = [str(self._binaries / "initdb"), "-D", str(self._data), *options, "--encoding=UTF8", "--no-locale"]
        as_user = ["setpriv", "--reuid", user, "--clear-groups"] if user is not None else []
        subprocess.run([*as_user, *command], check=True, capture_output=True, cwd=self._folder)

    def start(self) -> None:
        settings = {**_FAST, "port": str(self._port), "listen_addresses": "127.0.0.1"}
        settings["unix_socket_directories"] = str(self._folder)
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self._data), *given]
        with (self._folder / "server.log").open("ab") as log:
            self._process = tied.start(
                command,
                signal="QUIT",
                user=_unprivileged(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "server.log").read_text()[-4000:])
            time.sleep(0.05)

    def stop(self, *, immediately: bool = False) -> None:
        """Immediately: as `pg_ctl stop -m immediate`, which drops every connection and recovers at the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
            self._process.wait(_START_SECONDS)

    def kill(self) -> None:
        """As the kernel does when memory runs out: every process of the server is gone without a word."""
        if self._process is not None:
            server = psutil.Process(self._process.pid)
            processes = [server, *server.children(recursive=True)]
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes[1:], _START_SECONDS)
            self._process.wait(_START_SECONDS)

    def close(self) -> None:
        self.stop(immediately=True)

    def restart(self, *, immediately: bool = True, seconds_away: float = 0.0) -> None:
        self.stop(immediately=immediately)
        time.sleep(seconds_away)
        self.start()

    def new_database(self, name: str, prepare: Callable[[str], None]) -> str:
        """The URL of a fresh copy of the template `name`, which `prepare(url)` fills when it is first asked for."""
        if name not in self._templates:
            template = self._create_database("template1")
            prepare(self.url(template))
            self._templates[name] = template
        return self.url(self._create_database(self._templates[name]))

    def drop_database(self, url: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"drop database if exists {url.rpartition('/')[2]} with (force)".encode())

    def _create_database(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}".encode())
        return name

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self._folder / "data"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running server; skips the test, with the reason, where there is none and none can be installed."""
    if (binaries := binaries_here()) is None:
        pytest.skip(f"PostgreSQL is missing: install the Debian package {_PACKAGE}, or run the tests as root on Debian")
    folder = Path(tempfile.mkdtemp(prefix="meshroom-tasks-postgres-"))
    server = PostgresServer(binaries, folder)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def binaries_here() -> Path | None:
    """The folder of the server's programs; installed by apt when that is possible here."""
    if (found := _binaries()) is None:
        apt.install(_PACKAGE)
        found = _binaries()
    return found


def _binaries() -> Path | None:
    """The newest version's folder with the server's programs."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if (on_path := shutil.which("initdb")) is not None:
        found.append(Path(on_path).resolve().parent)
    return max(found, key=lambda path: path.parent.name.zfill(4), default=None)


def _unprivileged() -> str | None:
    """Who runs the server; None: this user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)
