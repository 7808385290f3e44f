"""`tenants list`, `tenants set`."""

from __future__ import annotations

import pytest

from meshroom_tasks.commands.tenants import tenants_group
from tests.jobs.conftest import new_job

from .conftest import Refusal, Shell


def test_tenants_are_listed_with_what_they_have(shell: Shell) -> None:
    shell.store.add_tenant("shop")
    shell.store.submit(new_job(tenant="shop"))
    (_, shop) = shell.ask(tenants_group, "list")
    assert (shop["name"], shop["queued_jobs"], shop["running_jobs"], shop["storage_bytes"]) == ("shop", 1, 0, 0)
    assert (shop["weight"], shop["own"], shop["limits"]["max_images"]) == (1.0, [], 500)
    assert "shop" in shell.run(tenants_group, "list").output


def test_limits_are_set_lifted_and_given_back(shell: Shell) -> None:
    shell.store.add_tenant("shop")
    (shop,) = shell.ask(tenants_group, "set", "shop", "--max-queued-jobs", "7", "--max-images", "0", "--weight", "3")
    assert (shop["limits"]["max_queued_jobs"], shop["limits"]["max_images"], shop["weight"]) == (7, 0, 3.0)
    assert "0 of 7*" in shell.run(tenants_group, "set", "shop").output
    (shop,) = shell.ask(tenants_group, "set", "shop", "--max-images", "default")
    assert (shop["limits"]["max_images"], shop["own"]) == (500, ["max_queued_jobs"])


def test_an_unknown_tenant_is_refused(shell: Shell, refusal: Refusal) -> None:
    assert refusal(shell.run(tenants_group, "set", "none", "--weight", "2")).startswith("there is no tenant 'none'")


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "9" * 10])
def test_a_limit_is_a_whole_number(shell: Shell, value: str) -> None:
    assert shell.run(tenants_group, "set", "default", "--max-images", value).exit_code == 2


@pytest.mark.parametrize("value", ["0", "-1", "nan", "1.5"])
def test_a_weight_is_a_whole_number_from_1(shell: Shell, value: str) -> None:
    assert shell.run(tenants_group, "set", "default", "--weight", value).exit_code == 2
