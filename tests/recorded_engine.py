"""Meshroom 2023.3's two commands as in the recorded run: the same graph, status files, logs and file names.

    recorded_engine.py batch --input PHOTOS --pipeline TEMPLATE --save RUN/p.mg --compute no
    recorded_engine.py compute RUN/p.mg --node NODE [--iteration I]

Files whose content was not recorded are empty. RECORDED_FAILURE, `{"node", "lines", "return_code"}` as JSON, lets one
break off half-way: its log goes as far as the middle of the recorded one and ends in these lines, the status file says
ERROR, and the command repeats the log on its own output, as Meshroom does. Return code -9: the program is killed, and
the log ends where it was.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

RECORDED = Path(__file__).parent / "data" / "recorded_run"
PLANNED = RECORDED / "photogrammetry-draft-planned.mg"
PARTS = 8


def main(arguments: list[str]) -> int:
    command, *rest = arguments
    if command == "batch":
        shutil.copy(PLANNED, rest[rest.index("--save") + 1])
        return 0
    chunk = rest[rest.index("--iteration") + 1] if "--iteration" in rest else None
    return compute(Path(rest[0]), rest[rest.index("--node") + 1], chunk)


def compute(graph: Path, name: str, chunk: str | None) -> int:
    node = json.loads(graph.read_text())["graph"][name]
    place = Path("MeshroomCache", node["nodeType"], node["uids"]["0"])
    folder, prefix = graph.parent / place, "" if chunk is None else f"{chunk}."
    folder.mkdir(parents=True, exist_ok=True)
    status = json.loads((RECORDED / place / f"{prefix}status").read_text())
    write_status(folder / f"{prefix}status", {**status, "status": "RUNNING", "returnCode": None})
    log = (RECORDED / place / f"{prefix}log").read_text(errors="replace").splitlines(keepends=True)
    failure = json.loads(os.environ.get("RECORDED_FAILURE", "{}"))
    fails = failure.get("node") == name
    told = [*log[: len(log) // 2], *(f"{line}\n" for line in failure["lines"])] if fails else log
    with (folder / f"{prefix}log").open("a") as file:
        for part in range(PARTS):
            file.writelines(told[part * len(told) // PARTS : (part + 1) * len(told) // PARTS])
            file.flush()
    if fails:
        code = failure["return_code"]
        write_status(folder / f"{prefix}status", {**status, "status": "ERROR", "returnCode": code})
        print(f'RuntimeError: Error on node "{name}":\nLog:\n{"".join(told)}')
        return 1
    leave_files(place, folder)
    write_status(folder / f"{prefix}status", status)
    return 0


def leave_files(place: Path, folder: Path) -> None:
    for line in (RECORDED / "files.txt").read_text().splitlines():
        path = Path(line.partition(" ")[2])
        if path.parent == place and not path.name.endswith(("log", "status")):
            recorded = RECORDED / path
            (folder / path.name).write_bytes(recorded.read_bytes() if recorded.is_file() else b"")


def write_status(path: Path, content: dict[str, object]) -> None:
    temporary = path.with_name(f"{path.name}.writing")
    temporary.write_text(json.dumps(content, indent=4))
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
