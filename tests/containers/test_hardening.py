"""What the containers may do, and what of them can be reached."""

from __future__ import annotations

import json

import pytest
import requests

from .stack import Stack

pytestmark = [pytest.mark.containers, pytest.mark.timeout(3600)]

OURS = {"web", "worker-ingest", "worker-cpu", "worker-callback", "sweeper", "flower", "deployment", "secrets"}
SERVERS = {"rabbitmq", "postgres", "store"}
PUBLISHED = {"web", "flower"}


def test_no_container_may_more_than_it_must(stack: Stack) -> None:
    containers = {name: found for name, found in stack.containers().items() if name != "client"}
    assert set(containers) == OURS | SERVERS
    for name, found in containers.items():
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not host["Privileged"], name
        assert not (name in OURS and host["CapAdd"]), name


def test_no_process_of_a_service_is_root(stack: Stack) -> None:
    """Process 1 may be: the init of an image whose entry point gives its privileges up. It has few to give."""
    for name in (OURS | SERVERS) - {"deployment", "secrets"}:
        table = stack.compose("exec", "-T", name, "sh", "-c", "grep -h '^Uid:' /proc/[0-9]*/status || true")
        users = [line.split()[2] for line in table.splitlines()]
        assert any(user != "0" for user in users), (name, table)
        if name in OURS:
            assert "0" not in users, (name, table)


def test_only_the_web_port_is_published_beyond_loopback(stack: Stack) -> None:
    shipped = json.loads(stack.compose("-f", "docker-compose.yml", "config", "--format", "json"))["services"]
    assert {name for name, service in shipped.items() if service.get("ports")} == PUBLISHED
    assert [port["host_ip"] for port in shipped["flower"]["ports"]] == ["127.0.0.1"]


def test_secrets_are_in_files_alone(stack: Stack) -> None:
    values = [stack.secret(name) for name in ("x_api_key", "broker_password", "postgres_password", "flower_password")]
    assert len(set(values)) == 4
    assert min(map(len, values)) >= 32
    told = json.dumps([found["Config"] for found in stack.containers().values()])
    assert not [value for value in values if value in told]


def test_flower_asks_for_a_password(stack: Stack) -> None:
    pages = (f"http://127.0.0.1:{stack.flower_port}{path}" for path in ("/", "/workers", "/tasks", "/api/workers"))
    for page in pages:
        assert requests.get(page, timeout=30).status_code == 401, page
        answer = requests.get(page, auth=("admin", stack.secret("flower_password")), timeout=30)
        assert answer.status_code == 200, page


def test_every_service_has_a_health_check_and_a_restart_policy(stack: Stack) -> None:
    for name, found in stack.containers().items():
        if name in ("deployment", "secrets"):
            assert found["State"]["ExitCode"] == 0, name
        elif name != "client":
            assert found["State"]["Health"]["Status"] == "healthy", name
            assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", name
