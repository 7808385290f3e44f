"""deploy/kubernetes: valid by Kubernetes' own schemas, and the same service as docker-compose.yml."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from meshroom_tasks import topology
from meshroom_tasks.settings import PROJECT, Settings

ROOT = PROJECT / "deploy" / "kubernetes"
BASE = ROOT / "base"
OVERLAYS = ("base", "keda-rabbitmq", "keda-prometheus", "without-gpu")
PAGE = (PROJECT / "docs" / "kubernetes.md").read_text()
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
NO_SETTINGS = {"SECRETS_DIR", "WORKER_READY_FILE"}
"""Read before there are settings, or by none of our code's settings."""
SETTINGS = {name.upper() for name in Settings.model_fields} | NO_SETTINGS
POD = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
GRACE_SECONDS = 60
"""What a worker may need besides DRAIN_SECONDS; containers.md says at least 30."""


def documents(*folders: str) -> Iterator[Any]:
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*.yaml")):
            if path.name != "kustomization.yaml":
                yield from yaml.safe_load_all(path.read_text())


def of_kind(kind: str, *folders: str) -> dict[str, Any]:
    return {item["metadata"]["name"]: item for item in documents(*(folders or ("base",))) if item["kind"] == kind}


def identity(item: Any) -> str:
    return f"{item['kind']}-{item['metadata']['name']}"


WORKLOADS = {**of_kind("Deployment"), **of_kind("Job")}
SPECS = {name: item["spec"]["template"]["spec"] for name, item in WORKLOADS.items()}
CONTAINERS = {name: spec["containers"][0] for name, spec in SPECS.items()}


@pytest.mark.parametrize("item", list(documents("base")), ids=identity)
def test_manifests_are_valid(item: Any) -> None:
    kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_file_is_named(overlay: str) -> None:
    kustomization = yaml.safe_load((ROOT / overlay / "kustomization.yaml").read_text())
    files = {path.name for path in (ROOT / overlay).glob("*.yaml")} - {"kustomization.yaml"}
    assert files == {name for name in kustomization["resources"] if name.endswith(".yaml")}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_kustomize_makes_is_valid(overlay: str) -> None:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is missing: install the Debian package kubernetes-client")
    done = subprocess.run([kubectl, "kustomize", ROOT / overlay], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    made = {identity(item): item for item in yaml.safe_load_all(done.stdout)}
    for item in made.values():
        if not item["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
    gpu = made.get("Deployment-worker-gpu")
    assert (gpu is None) == (overlay == "without-gpu")
    if overlay.startswith("keda"):
        assert "replicas" not in made["Deployment-worker-cpu"]["spec"], "KEDA says how many there are"
    images = {container["image"] for name in WORKLOADS for container in _containers(made, name)}
    assert len(images) == 1, "graphs are planned by the engine that computes them"


def _containers(made: dict[str, Any], name: str) -> list[Any]:
    found = made.get(f"Deployment-{name}") or made.get(f"Job-{name}")
    return found["spec"]["template"]["spec"]["containers"] if found else []


def test_settings_have_the_names_that_the_service_knows() -> None:
    given = set(of_kind("ConfigMap")["settings"]["data"])
    for container in CONTAINERS.values():
        given |= {item["name"] for item in container.get("env", ())}
    assert given - SETTINGS == set()
    example = (PROJECT / "env.example").read_text()
    assert {name for name in given if f"\n{name}=" not in example} <= {
        "BIND",
        *NO_SETTINGS,
        "WORKSPACE_DIR",
        "WORKER_QUEUES",
    }


def test_the_secrets_on_the_page_have_them_too() -> None:
    keys = set(re.findall(r"--from-(?:literal|file)=(\w+)=", PAGE))
    assert keys - {name.lower() for name in SETTINGS} == {"flower_password", "management_url"}
    named = set(re.findall(r"create secret generic ([\w-]+)", PAGE))
    mounted = {
        volume["secret"]["secretName"] for spec in SPECS.values() for volume in spec["volumes"] if "secret" in volume
    }
    keda = {
        target["name"]
        for item in of_kind("TriggerAuthentication", "keda-rabbitmq").values()
        for target in item["spec"]["secretTargetRef"]
    }
    assert named == mounted | keda


def test_commands_are_those_of_compose() -> None:
    ours = {
        name: service for name, service in COMPOSE.items() if name not in ("rabbitmq", "postgres", "store", "secrets")
    }
    assert {name: container["command"] for name, container in CONTAINERS.items()} == {
        name: service["command"] for name, service in ours.items()
    }
    assert {container["image"] for container in CONTAINERS.values()} == {"meshroom-tasks"}


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_pod_may_more_than_it_must(name: str) -> None:
    spec, container = SPECS[name], CONTAINERS[name]
    assert spec["securityContext"] == POD
    assert container["securityContext"] == CONTAINER
    assert spec["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"]
    secrets = next(mount for mount in container["volumeMounts"] if mount["name"] == "secrets")
    assert secrets["readOnly"]
    assert secrets["mountPath"] == of_kind("ConfigMap")["settings"]["data"]["SECRETS_DIR"]


@pytest.mark.parametrize("name", [name for name in WORKLOADS if name.startswith("worker-")])
def test_a_worker_that_is_told_to_stop_has_the_time_it_was_promised(name: str) -> None:
    drain = float(of_kind("ConfigMap")["settings"]["data"]["DRAIN_SECONDS"])
    assert SPECS[name]["terminationGracePeriodSeconds"] == drain + GRACE_SECONDS
    assert name in of_kind("PodDisruptionBudget")


def test_what_writes_has_where_to() -> None:
    """What compose gives a volume is a volume here."""
    for name, service in COMPOSE.items():
        if name in CONTAINERS:
            wanted = {volume.split(":")[1] for volume in service.get("volumes", ()) if not volume.endswith(":ro")}
            mounted = {mount["mountPath"] for mount in CONTAINERS[name]["volumeMounts"] if not mount.get("readOnly")}
            assert (wanted | {"/tmp"}) <= mounted, name


def test_a_gpu_worker_has_one_gpu() -> None:
    resources = CONTAINERS["worker-gpu"]["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == 1


def test_only_those_who_fetch_photos_or_call_back_reach_the_internet() -> None:
    policies = of_kind("NetworkPolicy")
    assert policies["nothing-else"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (label,) = policies["internet"]["spec"]["podSelector"]["matchLabels"].items()
    out = {name for name, item in WORKLOADS.items() if label in item["spec"]["template"]["metadata"]["labels"].items()}
    assert out == {"worker-ingest", "worker-callback"}
    open_to_all = {name for name, policy in policies.items() if "0.0.0.0/0" in str(policy)}
    assert open_to_all == {"internet"}
    (rule,) = policies["internet"]["spec"]["egress"]
    assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(rule["to"][0]["ipBlock"]["except"])


def test_selectors_select() -> None:
    labels = {name: item["spec"]["template"]["metadata"]["labels"] for name, item in WORKLOADS.items()}
    for name, item in of_kind("Deployment").items():
        assert item["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
    for name, item in of_kind("Service").items():
        assert item["spec"]["selector"].items() <= labels[name].items()
    for name, item in of_kind("PodDisruptionBudget").items():
        assert item["spec"]["selector"]["matchLabels"].items() <= labels[name].items()


@pytest.mark.parametrize("item", list(documents("keda-rabbitmq", "keda-prometheus")), ids=identity)
def test_scaling_is_by_what_there_is(item: Any) -> None:
    """KEDA's own schema is not part of this project; these are its fields that are used here."""
    assert item["apiVersion"] == "keda.sh/v1alpha1"
    spec = item["spec"]
    if item["kind"] == "TriggerAuthentication":
        assert {frozenset(target) for target in spec["secretTargetRef"]} == {frozenset({"parameter", "name", "key"})}
        return
    assert item["kind"] == "ScaledObject"
    sizes = {"minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod"}
    assert set(spec) == {"scaleTargetRef", "advanced", "triggers", *sizes}
    assert all(isinstance(spec[name], int) for name in sizes)
    assert spec["scaleTargetRef"] == {"name": item["metadata"]["name"]}
    assert spec["scaleTargetRef"]["name"] in WORKLOADS
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == {"scaleDown": {"selectPolicy": "Disabled"}}, "a busy worker must not be taken for a spare one"
    alias = item["metadata"]["name"].removeprefix("worker-")
    (trigger,) = spec["triggers"]
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    if trigger["type"] == "rabbitmq":
        (queue,) = topology.work_queues([alias])
        assert trigger["metadata"] == {"protocol": "http", "queueName": queue.name, "mode": "QueueLength", "value": "1"}
        assert trigger["authenticationRef"]["name"] in of_kind("TriggerAuthentication", "keda-rabbitmq")
    else:
        assert trigger["type"] == "prometheus"
        assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
        assert f'recon_steps{{queue="{alias}"}}' in trigger["metadata"]["query"]
