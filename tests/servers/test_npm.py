from __future__ import annotations

from tests.servers import npm


def test_a_set_of_packages_can_be_used() -> None:
    modules = npm.node_modules("webhooks")
    program = "const { Webhook } = require('standardwebhooks'); console.log(typeof new Webhook('whsec_AAAA').sign)"
    done = npm.node("-e", program, cwd=modules.parent)
    assert (done.stdout.strip(), done.stderr) == ("function", "")
