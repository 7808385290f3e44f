from __future__ import annotations

import pytest

from meshroom_tasks.errors import ServiceError, StorageUnavailable
from tests.web.conftest import Site
from tests.web.problem import assert_problem

GOOD = {"database": "ok", "broker": "ok", "storage": "ok"}


def fail() -> None:
    raise StorageUnavailable("secret path")


def test_alive_touches_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.store, "ping", fail)
    monkeypatch.setattr(site.storage, "check", fail)
    site.broker_error = RuntimeError()
    answer = site.visitor().get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_ready(site: Site) -> None:
    answer = site.visitor().get("/readyz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ready", "checks": GOOD})


@pytest.mark.parametrize("part", ["database", "broker", "storage"])
def test_not_ready_says_which_part(site: Site, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    if part == "database":
        monkeypatch.setattr(site.store, "ping", fail)
    elif part == "storage":
        monkeypatch.setattr(site.storage, "check", fail)
    else:
        site.broker_error = ServiceError("no broker")
    answer = site.visitor().get("/readyz")
    body = assert_problem(answer, 503, "not_ready")
    assert body["checks"] == {**GOOD, part: "unavailable"}
    assert part in body["detail"]
    assert "secret" not in answer.get_data(as_text=True)


def test_a_folder_that_cannot_be_written_is_noticed(site: Site) -> None:
    root = site.settings.data_dir / "storage"
    root.parent.mkdir(parents=True, exist_ok=True)
    root.write_text("a file where the folder should be")
    assert site.visitor().get("/readyz").get_json(force=True)["checks"]["storage"] == "unavailable"
