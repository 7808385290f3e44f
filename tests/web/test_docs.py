from __future__ import annotations

import re

from flask.testing import FlaskClient

from tests.web.problem import assert_problem


def test_the_page_and_all_it_loads_come_from_here(visitor: FlaskClient) -> None:
    page = visitor.get("/docs")
    assert page.mimetype == "text/html"
    html = page.get_data(as_text=True)
    assert not re.search(r"https?://|//\w", html)
    assets = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(assets) >= 4
    for asset in assets:
        answer = visitor.get(asset)
        assert answer.status_code == 200, asset
        assert len(answer.data) > 100


def test_its_script_reads_a_document_that_is_there(visitor: FlaskClient) -> None:
    script = visitor.get("/docs/assets/start.js").get_data(as_text=True)
    [url] = re.findall(r'url: "([^"]+)"', script)
    assert visitor.get(url).get_json()["paths"]


def test_the_policy_allows_what_the_page_needs_and_no_inline_script(visitor: FlaskClient) -> None:
    page = visitor.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self'" in policy
    assert "sandbox" not in policy
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=", page.get_data(as_text=True))


def test_no_other_files_are_served(visitor: FlaskClient) -> None:
    for name in ("index.html", "../__init__.py", "..%2f__init__.py", "swagger-ui.js.map"):
        assert_problem(visitor.get(f"/docs/assets/{name}"), 404, "not_found")
