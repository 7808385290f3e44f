"""What the test engine does when its script tells it to; see engine.py for the names."""

import json
import os
import signal
import subprocess
import sys
import time

from outputs import content

AN_HOUR = 3600.0
MEETING_SECONDS = 90.0


def choose(rules, chunk, attempt):
    """The first rule for this chunk and attempt; {} when there is none."""
    for rule in rules:
        if (
            rule.get("node_type", "*") in ("*", chunk.node_type)
            and rule.get("node", "*") in ("*", chunk.name)
            and rule.get("chunk", chunk.index) == chunk.index
            and attempt in rule.get("attempts", [attempt])
            and rule.get("inputs", {}).items() <= chunk.plain_inputs.items()
            and not ("unless" in rule and rule["unless"].items() <= chunk.plain_inputs.items())
        ):
            return rule
    return {}


def before(actions, chunk):
    """In Meshroom's own process, before the binary starts. While planning (no chunk) the waiting happens here too."""
    if actions.get("ignore_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in actions.get("stdout", []):
        print(line, flush=True)
    if chunk is None:
        start_children(actions)
        time.sleep(AN_HOUR if actions.get("hang") else actions.get("sleep", 0.0))


def during(actions, chunk):
    """In the binary."""
    start_children(actions)
    chunk.log(*actions.get("lines", []))
    meet(actions.get("meet", 0), chunk)
    spin(actions.get("spin", 0.0))
    held = b"x" * actions.get("memory", 0)
    if "sleep" in actions:
        seconds = chosen(actions["sleep"], chunk)
        for tenth in range(1, 11):
            time.sleep(seconds / 10)
            chunk.log(f"[{tenth}/10] slept")
    wait_for_file(actions, chunk)
    if actions.get("hang"):
        time.sleep(AN_HOUR)
    del held
    for name, size in actions.get("write", {}).items():
        with open(os.path.join(chunk.folder, name), "wb") as file:
            file.write(content(chunk, name, size, bool(actions.get("random"))))
    for name, text in actions.get("leave", {}).items():
        with open(os.path.join(chunk.folder, name), "w") as file:
            file.write(text)
    if "signal" in actions:
        os.kill(os.getpid(), actions["signal"])


def wait_for_file(actions, chunk):
    """And write meanwhile: as many lines as are due at each moment."""
    began, written, rate = time.monotonic(), 0, actions.get("lines_a_second", 0)
    while "until" in actions and not os.path.exists(actions["until"]):
        due = int(rate * (time.monotonic() - began))
        chunk.log(*(f"[{number}] a line as long as those of an engine mostly are" for number in range(written, due)))
        written = due
        time.sleep(0.02)


def meet(count, chunk):
    """Go on once so many chunks of this stage have been begun, none of which ends before."""
    deadline = time.monotonic() + MEETING_SECONDS
    while count and len(begun(chunk.uid)) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only the chunks {sorted(begun(chunk.uid))} came")
        time.sleep(0.05)


def begun(uid):
    with open(os.environ["SCRIPTED_ENGINE_LEDGER"]) as file:
        lines = [json.loads(line) for line in file if line.endswith("\n")]
    return {line["chunk"] for line in lines if line["uid"] == uid and line["event"] == "start"}


def chosen(seconds, chunk):
    """A number as it is; of a pair the number in between that the chunk decides."""
    if not isinstance(seconds, list):
        return seconds
    least, most = seconds
    return least + (most - least) * content(chunk, "seconds", 1, False)[0] / 255


def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def start_children(actions):
    for kind in actions.get("children", []):
        if kind == "daemon" and os.fork() == 0:
            os.setsid()
            sleeper()
            os._exit(0)
        if kind != "daemon":
            sleeper(start_new_session=kind == "session")


def sleeper(**options):
    """A process that sleeps; it inherits an ignored SIGTERM."""
    return subprocess.Popen([sys.executable, "-S", "-E", "-c", f"import time; time.sleep({AN_HOUR})"], **options)
