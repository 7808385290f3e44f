"""Run the tests beside each other, and those that fail once more, alone: `python -m tests.run -n 3`.

A test of processes that end, freeze and time out may fail where the machine gives it no time. Then it fails with others
at its side and passes without them; what is wrong fails both times. A pass of the second kind is told, never hidden.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

MOST = 10
"""Failures that may come from a busy machine. With more of them, something is broken."""

_ANY_MARK = ("-m", "")
"""The tests are named: those that are left out unless they are asked for have been asked for."""


class Ledger:
    """A plugin for the process that reports: what became of each test, and what went wrong outside of them."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: dict[str, None] = {}
        self.broken: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed[report.nodeid] = None
        elif report.passed and report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(f"{report.nodeid} could not be read")

    def pytest_internalerror(self, excrepr: object) -> None:
        self.broken.append("pytest itself failed")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        if error:
            self.broken.append("a process that runs tests crashed")


def run(arguments: Sequence[str]) -> int:
    """Runs pytest with these arguments, and again, alone, what failed; returns what the process should."""
    first = Ledger()
    code = pytest.main([*arguments], plugins=[first])
    reason = _no_second_run(code, first)
    if not first.failed or reason:
        return _ended(code, reason)
    _say(f"{len(first.failed)} failed beside others. Each again, alone:")
    alone = Ledger()
    code = pytest.main([*_ANY_MARK, *first.failed], plugins=[alone])
    if code == pytest.ExitCode.OK and alone.passed == set(first.failed):
        _say(*(f"passed only when alone: {test}" for test in first.failed))
        return 0
    _say(*(f"failed beside others, and not passed alone: {test}" for test in first.failed if _bad(test, alone)))
    return int(code) or 1


def _bad(test: str, alone: Ledger) -> bool:
    return test in alone.failed or test not in alone.passed


def _no_second_run(code: int, first: Ledger) -> str | None:
    if first.broken:
        return "; ".join(dict.fromkeys(first.broken))
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return f"pytest ended with {code}"
    if len(first.failed) > MOST:
        return f"{len(first.failed)} tests failed"
    return None


def _ended(code: int, reason: str | None) -> int:
    if reason is None:
        return int(code)
    _say(f"Nothing is run again: {reason}.")
    return int(code) or 1


def _say(*lines: str) -> None:
    print("", *lines, "", sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
