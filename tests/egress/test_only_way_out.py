"""Nothing in the service makes outgoing requests but the guarded session."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from meshroom_tasks.settings import PROJECT

NETWORK = {
    *("requests", "urllib3", "urllib.request", "http.client", "httpx", "aiohttp", "httplib2", "pycurl", "socket"),
    *("ftplib", "smtplib", "poplib", "imaplib", "telnetlib", "xmlrpc", "socketserver", "asyncio", "ssl", "websockets"),
    *("tornado.httpclient", "paramiko", "webbrowser"),
}

IMPORTS = {
    "meshroom_tasks/egress/addresses.py": {"requests", "socket", "urllib3"},  # Judging names: inet_aton, IDNA.
    "meshroom_tasks/egress/session.py": {"requests", "socket", "urllib3"},
    "meshroom_tasks/egress/transfer.py": {"requests", "socket", "urllib3", "http.client", "ssl"},
    "meshroom_tasks/callbacks.py": {"requests"},  # The type of the session that it is given, here and below.
    "meshroom_tasks/ingest/download.py": {"requests"},
    "meshroom_tasks/ingest/photos.py": {"requests"},
    "meshroom_tasks/service.py": {"requests"},
    "meshroom_tasks/local_service.py": {"requests"},
    "meshroom_tasks/engine/wardens.py": {"socket"},  # Pairs of sockets within the machine.
    "meshroom_tasks/engine/guard/__main__.py": {"socket"},
    "meshroom_tasks/cpu_engine/status.py": {"socket"},  # The name of the machine.
    "meshroom_tasks/worker.py": {"socket"},
    "meshroom_tasks/ports.py": {"socket"},  # It listens for a moment.
    "meshroom_tasks/client/connection.py": {"requests"},  # A program of clients: it calls the service alone.
    "web/event_stream.py": {"socket"},  # Those of clients, here and below.
    "web/gunicorn_worker.py": {"socket"},
    "web/slow_clients.py": {"socket"},
}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("meshroom_tasks", "web", "deploy"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield path.relative_to(PROJECT).as_posix(), ast.parse(path.read_text())
    yield "celeryconfig.py", ast.parse(Path(PROJECT / "celeryconfig.py").read_text())


def network_modules(module: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {known for known in NETWORK if any(name == known or name.startswith(f"{known}.") for name in names)}


def test_who_imports_what_opens_connections() -> None:
    assert {path: found for path, module in sources() if (found := network_modules(module))} == IMPORTS


def test_nobody_makes_a_session_or_a_request_of_requests() -> None:
    made = [
        (path, ast.unparse(node.func))
        for path, module in sources()
        for known in network_modules(module) & {"requests", "socket"}
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and re.fullmatch(rf"{known}\.\w+", ast.unparse(node.func))
    ]
    harmless = {"socket.gethostname", "socket.socketpair", "socket.fromfd", "socket.inet_aton", "socket.gaierror"}
    harmless |= {"socket.send_fds", "socket.recv_fds"}
    assert [call for call in made if call[1] not in harmless] == [
        ("meshroom_tasks/client/connection.py", "requests.Session"),
        ("meshroom_tasks/egress/addresses.py", "requests.Request"),  # It is never sent.
        ("meshroom_tasks/egress/session.py", "socket.socket"),
        ("meshroom_tasks/egress/session.py", "socket.getaddrinfo"),
        ("meshroom_tasks/engine/guard/__main__.py", "socket.socket"),  # From a descriptor.
        ("meshroom_tasks/ports.py", "socket.socket"),
        ("meshroom_tasks/ports.py", "socket.socket"),
    ]


def test_nobody_uses_the_shell() -> None:
    shells = {
        "os.system",
        "os.popen",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "eval",
        "exec",
        "pickle.loads",
    }
    for path, module in sources():
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in shells, path
                assert not [keyword for keyword in node.keywords if keyword.arg == "shell"], path
