"""What two linters that others use say of the document: nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.servers import npm


@pytest.fixture
def document(visitor: FlaskClient, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(visitor.get("/openapi.json").get_json()))
    return path


def test_spectral_has_nothing_to_say(document: Path) -> None:
    program = npm.node_modules("openapi") / "@stoplight" / "spectral-cli" / "dist" / "index.js"
    rules = document.with_name("rules.json")
    rules.write_text(json.dumps({"extends": ["spectral:oas"]}))
    done = npm.node(program, "lint", document, "--ruleset", rules, "--fail-severity", "hint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_redocly_has_nothing_to_say(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = npm.node_modules("openapi") / "@redocly" / "cli" / "bin" / "cli.js"
    for name, value in {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}.items():
        monkeypatch.setitem(os.environ, name, value)
    done = npm.node(program, "lint", document, "--extends=recommended-strict", "--format=stylish")
    assert done.returncode == 0, done.stdout + done.stderr
