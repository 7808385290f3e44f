"""The test engine: `meshroom_batch` and `meshroom_compute` in the standard library, in milliseconds, doing as told.

    engine.py batch --input PHOTOS --pipeline TEMPLATE.mg --save RUN/p.mg --compute no [--overrides FILE.json]
    engine.py compute RUN/p.mg --node NODE [--iteration I]
    engine.py batch|compute --version

Planning takes any template and writes a graph in the format of Meshroom 2023.3, with uids that depend on the photos'
absolute paths, the attributes and the uids upstream. Computing checks that the cache folder beside the graph holds
the complete folders of exactly the nodes that this one reads (a missing one is `Can't find view ... region files`),
that the photos are there where the node reads them, and leaves small files of the right names. StructureFromMotion
leaves `cameras.sfm` and `stats.json` as AliceVision does, Texturing a real textured cube (OBJ, MTL, PNG).
As in Meshroom, a second process (the "binary") does the work and writes the node's log, while the first one waits
for it, keeps the status file, and prints the whole log once more when the binary failed.

`SCRIPTED_ENGINE` names a JSON file (or holds the JSON itself) that says how to behave:

    {"version": "1.0",                        # what --version prints; null: it fails
     "block_sizes": {"DepthMap": 2},          # views a chunk; default: Meshroom's (0: not chunked)
     "plan": {ACTIONS},                       # what happens while planning
     "stages": [{"node_type": "DepthMap",     # or "node": "DepthMap_1"; absent or "*": all
                 "chunk": 0,                  # absent: all
                 "attempts": [1, 2],          # absent: all; counted in the ledger, from 1
                 "inputs": {"maxPoints": 7},  # absent: any; attributes of the node with these values
                 "unless": {"downscale": 4},  # not where the node's attributes have these values
                 ACTIONS}, ...]}              # the first rule that matches is taken

ACTIONS, carried out in this order:

    "ignore_sigterm": true      both processes, and the children below, ignore SIGTERM
    "own_session": true         the binary runs in its own session, as in Meshroom 2025
    "children": ["plain", "session", "daemon"]    processes that sleep for an hour: a child, one with its own
                                session, and one that was forked twice and whose parent has gone
    "stdout": ["..."]           lines on the standard output of the command
    "lines": ["..."]            lines in the node's log
    "meet": 4                   waits until so many chunks of the stage have been begun; fails if they do not come
    "spin": 0.5                 CPU seconds to burn
    "memory": 50000000          bytes to hold while sleeping
    "sleep": 1.5                seconds, with a line `[k/10] ...` in the log after each tenth; a pair `[0.1, 2]`:
                                between the two, as uid and chunk decide (not while planning)
    "until": "PATH"             until there is such a file
    "lines_a_second": 5000      lines in the node's log meanwhile
    "hang": true                for an hour
    "write": {"name": bytes}    files of this size; their content follows from uid and chunk
    "random": true              ... or is different in each run, also for the default files
    "from_inputs": true         ... or follows besides from every byte that the chunk reads, its photos included
    "placed": 2                 StructureFromMotion: of how many photos it finds the cameras
    "leave": {"name": "text"}   files with this text (a stale lock, ...)
    "signal": 9                 the binary dies by this signal: status ERROR, returnCode -9, exit code 1
    "suicide": 9                the command itself dies by this signal: the status stays RUNNING, the binary lives on
    "fail": {"exit": 1, "return_code": 1, "lines": ["..."]}     log lines, status ERROR, exit code
    "status": "RUNNING"         what the status file says in the end; null: no status file at all
    "no_output": true           exit code 0, no status file, no files

`SCRIPTED_ENGINE_LEDGER` names a file that gets one JSON line at the start and one at the end of every run:
`{"event", "node", "node_type", "uid", "chunk", "attempt", "pid", "time", "folder", "exit", "overlaps", "devices",
"machine"}`.
`overlaps` lists the pids of earlier runs of the same uid and chunk of which any process was still alive at the start
(see ledger.py for how that is known); `devices` is CUDA_VISIBLE_DEVICES as the run saw it (null: not set), `machine`
its host name.
"""

import json
import os
import sys
import time

import acts
import outputs
from chunk_folder import Chunk
from ledger import Ledger
from planning import plan


def main(arguments):
    command, arguments = arguments[0], arguments[1:]
    script = load_script()
    if "--version" in arguments:
        version = script.get("version", "1.0")
        if version is None:
            return 2
        print(f"scripted-engine {version}")
        return 0
    return plan(script, parse(arguments)) if command == "batch" else compute(script, parse(arguments))


def load_script():
    source = os.environ.get("SCRIPTED_ENGINE", "{}")
    if source.lstrip().startswith("{"):
        return json.loads(source)
    with open(source) as file:
        return json.load(file)


def parse(arguments):
    """`--name value` pairs, and the one positional argument under the name `graph`."""
    options, rest = {}, list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and rest:
            options[word[2:]] = rest.pop(0)
        elif word.startswith("--"):
            raise SystemExit(255)
        else:
            options["graph"] = word
    return options


def compute(script, options):
    iteration = int(options["iteration"]) if "iteration" in options else None
    chunk = Chunk(options["graph"], options["node"], iteration)
    os.makedirs(chunk.folder, exist_ok=True)
    ledger = Ledger(chunk)
    actions = acts.choose(script.get("stages", []), chunk, ledger.attempt)
    ledger.start()
    exit_code = supervise(chunk, actions)
    ledger.end(exit_code)
    return exit_code


def supervise(chunk, actions):
    """Meshroom's own process: start the binary, wait for it, keep the status file."""
    if actions.get("no_output"):
        return 0
    chunk.write_status("RUNNING")
    acts.before(actions, chunk)
    binary = os.fork()
    if binary == 0:
        os._exit(run_binary(chunk, actions))
    if "suicide" in actions:
        time.sleep(actions.get("sleep", 0.05))
        os.kill(os.getpid(), actions["suicide"])
    return_code = os.waitstatus_to_exitcode(os.waitpid(binary, 0)[1])
    failure = actions.get("fail", {})
    status = actions.get("status", "SUCCESS" if return_code == 0 else "ERROR")
    if status is None:
        os.remove(chunk.status_file)
    else:
        chunk.write_status(status, failure.get("return_code", return_code))
    if return_code:
        with open(chunk.log_file) as log:
            print(f'RuntimeError: Error on node "{chunk.name}":\nLog:\n{log.read()}')
        return failure.get("exit", 1)
    return 0


def run_binary(chunk, actions):
    """What stands in for AliceVision's program; never returns into the caller's stack."""
    try:
        if actions.get("own_session"):
            os.setsid()
        chunk.log("Program called with the following parameters:", f" * node = {chunk.name}")
        problem = chunk.problem()
        if problem:
            chunk.log(f"[error] {problem}")
            return 1
        if actions.get("from_inputs"):
            chunk.inputs_digest = chunk.digest_of_inputs()
        acts.during(actions, chunk)
        failure = actions.get("fail")
        if failure:
            chunk.log(*failure.get("lines", []))
            return abs(failure.get("return_code", 1)) or 1
        outputs.write(chunk, bool(actions.get("random")), actions.get("placed", len(chunk.views)))
        return 0
    except Exception as error:
        chunk.log(f"[fatal] {error!r}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
