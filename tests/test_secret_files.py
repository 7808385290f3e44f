"""The secrets of a deployment: what is given, what is made, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from meshroom_tasks.secret_files import LEAST_LENGTH, main, write_secrets
from meshroom_tasks.settings import PROJECT, Settings, load_settings

MADE = {
    *("X_API_KEY", "FLOWER_PASSWORD", "SESSION_SECRET", "BROKER_PASSWORD", "POSTGRES_PASSWORD"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "WEB_AWS_ACCESS_KEY_ID", "WEB_AWS_SECRET_ACCESS_KEY"),
}


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_everything_is_made_once(tmp_path: Path) -> None:
    assert set(write_secrets(tmp_path, {})) == MADE
    first = read(tmp_path)
    assert write_secrets(tmp_path, {}) == []
    assert read(tmp_path) == first
    assert len({first[name.lower()] for name in MADE}) == len(MADE)


def test_they_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    write_secrets(tmp_path, {})
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o400}


def test_what_is_given_wins_and_what_is_taken_away_goes(tmp_path: Path) -> None:
    write_secrets(tmp_path, {})
    made = read(tmp_path)
    write_secrets(tmp_path, {"DATABASE_URL": "postgresql://elsewhere/jobs", "WEBHOOK_SECRET": "whsec_x"})
    given = read(tmp_path)
    assert given["database_url"] == "postgresql://elsewhere/jobs"
    assert given["webhook_secret"] == "whsec_x"
    assert given["x_api_key"] == made["x_api_key"]
    write_secrets(tmp_path, {})
    assert read(tmp_path) == made


def test_the_database_url_bears_any_password(tmp_path: Path) -> None:
    write_secrets(tmp_path, {"POSTGRES_PASSWORD": "p@ss:w/rd"})
    assert read(tmp_path)["database_url"] == "postgresql://meshroom:p%40ss%3Aw%2Frd@postgres:5432/jobs"


def test_no_keys_are_made_for_a_store_elsewhere(tmp_path: Path) -> None:
    write_secrets(tmp_path, {})
    assert set(write_secrets(tmp_path, {"AWS_ENDPOINT_URL": "https://s3.example.com"})) == set()
    found = read(tmp_path)
    assert found["aws_access_key_id"] == found["aws_secret_access_key"] == ""


def test_the_bundled_store_knows_the_service(tmp_path: Path) -> None:
    write_secrets(tmp_path, {})
    found = read(tmp_path)
    owner, web = json.loads(found["store_identities.json"])["identities"]
    for identity, prefix in ((owner, ""), (web, "web_")):
        assert identity["credentials"] == [
            {"accessKey": found[f"{prefix}aws_access_key_id"], "secretKey": found[f"{prefix}aws_secret_access_key"]}
        ]
    assert "Write:3d-generator/uploads/*" in web["actions"]
    assert not {"Admin", "Write", "Read", "Write:3d-generator"} & set(web["actions"])


def test_a_store_in_a_prefix(tmp_path: Path) -> None:
    write_secrets(tmp_path, {"STORAGE_URL": "s3://photos/service"})
    _, web = json.loads(read(tmp_path)["store_identities.json"])["identities"]
    assert "Write:photos/service/uploads/*" in web["actions"]


def test_what_is_reached_from_outside_sees_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "a-token-of-prometheus")
    all_of_them, web, flower = (tmp_path / name for name in ("all", "web", "flower"))
    for folder in (all_of_them, web, flower):
        folder.mkdir()
    for _ in range(2):
        assert main([str(all_of_them), f"web={web}", f"flower={flower}"]) == 0
    everything, of_web, of_flower = read(all_of_them), read(web), read(flower)
    assert set(of_flower) == {"flower_password", "broker_url", "broker_password"}
    assert of_web["aws_secret_access_key"] == everything["web_aws_secret_access_key"]
    assert of_web["x_api_key"] == everything["x_api_key"]
    assert of_web["metrics_token"] == everything["metrics_token"] == "a-token-of-prometheus"
    hidden = {
        "aws_secret_access_key",
        "flower_password",
        "webhook_secret",
        "store_identities.json",
        "postgres_password",
    }
    known = set(of_web.values()) - {""}
    assert not [name for name in hidden if everything[name] in known]
    assert {path.stat().st_mode & 0o777 for folder in (web, flower) for path in folder.iterdir()} == {0o400}
    assert main([str(all_of_them), f"store={web}"]) == main([]) == main([str(all_of_them), "web"]) == 2


@pytest.mark.parametrize("name", ["X_API_KEY", "FLOWER_PASSWORD", "METRICS_TOKEN", "SESSION_SECRET"])
@pytest.mark.parametrize("value", ["change-me", "x" * (LEAST_LENGTH - 1)])
def test_a_short_key_is_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        write_secrets(tmp_path, {name: value})
    assert read(tmp_path) == {}


def test_every_secret_of_the_operators_file_is_handed_on_as_a_file_alone() -> None:
    """Compose gives containers all of `.env`: what is secret there must be blank in their environment."""
    secret = {name.upper() for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    secret |= {"DATABASE_URL", "BROKER_URL", "AWS_ACCESS_KEY_ID"}
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    assert secret <= {name for name, value in compose["x-service"]["environment"].items() if value == ""}
    assert {name: f"${{{name}:-}}" for name in secret}.items() <= compose["services"]["secrets"]["environment"].items()


def test_the_settings_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment has an empty variable of the same name, as compose passes them on."""
    write_secrets(tmp_path, {})
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    for name in (*MADE, "DATABASE_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("BROKER_HOST", "rabbitmq")
    monkeypatch.delenv("BROKER_URL", raising=False)
    settings, found = load_settings(), read(tmp_path)
    assert settings.x_api_key.get_secret_value() == found["x_api_key"]
    assert settings.database == found["database_url"]
    assert found["broker_password"] in settings.broker
    assert settings.webhook_secret.get_secret_value() == ""
