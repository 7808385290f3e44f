"""What fails beside others is run again alone; whatever else goes wrong stays a failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ONLY_ALONE = """
import os
def test_that_wants_to_be_alone():
    assert "PYTEST_XDIST_WORKER" not in os.environ
"""
GOOD = "def test_good(): pass\n"
BAD = "def test_bad(): assert False\n"
NEEDS_TWO_LOOKS = """
import os, pytest
@pytest.fixture
def ending():
    yield
    assert "PYTEST_XDIST_WORKER" not in os.environ
@pytest.mark.parametrize("text", ["a b", "x::y[1]", "é/"])
def test_whose_end_fails(ending, text): pass
"""
SKIPPED_ALONE = """
import os, pytest
def test_skipped_alone():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("nothing to see")
    assert False
"""
CRASHES_BESIDE = """
import os
def test_that_crashes():
    if "PYTEST_XDIST_WORKER" in os.environ:
        os._exit(1)
"""
UNREADABLE_BESIDE = """
import os
assert "PYTEST_XDIST_WORKER" not in os.environ
"""
INTERRUPTS = """
import os, signal, time
def test_that_interrupts():
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(1)
"""
ELEVEN = """
import os, pytest
@pytest.mark.parametrize("k", range(11))
def test_that_wants_to_be_alone(k):
    assert "PYTEST_XDIST_WORKER" not in os.environ
"""
CONFTEST_FAILS = """
import os
def pytest_runtest_protocol():
    if "PYTEST_XDIST_WORKER" in os.environ:
        raise RuntimeError("no test")
"""


LEFT_OUT_BY_DEFAULT = """
import os, pytest
@pytest.mark.special
def test_that_is_asked_for():
    assert "PYTEST_XDIST_WORKER" not in os.environ
"""


def run(folder: Path, *more: str, **files: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text(
        "[pytest]\naddopts = -p xdist -p no:cacheprovider -m 'not special'\nmarkers = special\n"
    )
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    # Tests that run in the background of a shell ignore SIGINT, and what they start would too.
    python = ["env", "--default-signal=INT", sys.executable]
    command = [*python, "-m", "tests.run", "-n", "1", "--max-worker-restart", "0", *more]
    # Nothing of the run that this test is part of
    environment = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


def test_what_passes_is_not_run_again(tmp_path: Path) -> None:
    code, told = run(tmp_path, test_a=GOOD, test_b=GOOD.replace("good", "better"))
    assert code == 0
    assert "alone" not in told


def test_what_passes_alone_is_told(tmp_path: Path) -> None:
    code, told = run(tmp_path, test_a=ONLY_ALONE, test_b=GOOD)
    assert code == 0
    assert told.rstrip().endswith("passed only when alone: test_a.py::test_that_wants_to_be_alone")
    assert "1 failed, 1 passed in" in told
    assert "collected 1 item" in told  # the other test is not run again


def test_an_end_that_fails_is_a_failure_and_every_name_is_found_again(tmp_path: Path) -> None:
    code, told = run(tmp_path, test_a=NEEDS_TWO_LOOKS)
    assert code == 0
    assert told.count("passed only when alone: ") == 3


@pytest.mark.parametrize("other", [ONLY_ALONE, GOOD])
def test_what_fails_alone_fails(tmp_path: Path, other: str) -> None:
    code, told = run(tmp_path, test_a=BAD, test_b=other)
    assert code == 1
    assert told.rstrip().endswith("failed beside others, and not passed alone: test_a.py::test_bad")


def test_to_be_skipped_alone_is_not_to_pass(tmp_path: Path) -> None:
    code, told = run(tmp_path, test_a=SKIPPED_ALONE)
    assert code == 1
    assert "not passed alone: test_a.py::test_skipped_alone" in told


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"test_a": CRASHES_BESIDE, "test_b": GOOD}, "a process that runs tests crashed"),
        ({"test_a": UNREADABLE_BESIDE, "test_b": ONLY_ALONE}, "test_a.py could not be read"),
        ({"conftest": CONFTEST_FAILS, "test_a": GOOD}, "pytest itself failed"),
        ({"test_a": INTERRUPTS, "test_b": ONLY_ALONE}, "pytest ended with 2"),
        ({"test_a": ELEVEN}, "11 tests failed"),
        ({"test_a": ""}, "pytest ended with 5"),
    ],
)
def test_nothing_else_is_run_again(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    code, told = run(tmp_path, **files)
    assert code != 0
    assert told.rstrip().endswith(f"Nothing is run again: {reason}.")


def test_wrong_arguments_are_a_failure(tmp_path: Path) -> None:
    code, told = run(tmp_path, "--no-such-option", test_a=GOOD)
    assert code == 4
    assert "Nothing is run again: pytest ended with 4." in told


def test_what_was_left_out_unless_asked_for_has_its_second_run(tmp_path: Path) -> None:
    code, told = run(tmp_path, "-m", "special", test_a=LEFT_OUT_BY_DEFAULT)
    assert code == 0
    assert "passed only when alone: test_a.py::test_that_is_asked_for" in told
