"""Writing a textured mesh as USDZ, the package that phones show in augmented reality, in a process of its own.

Pixar's USD must not be loaded beside other threads: it lets go of Python's lock in the midst of it, under the lock of
the dynamic loader, and any other thread that imports something then waits for it for ever.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from meshroom_tasks.child_processes import run_module
from meshroom_tasks.errors import ConversionFailed, HandoffIncomplete
from meshroom_tasks.results.wavefront import Material, TexturedMesh

PROGRAM = "meshroom_tasks.results.usd_package"
MESH, MATERIALS = "mesh.npz", "materials.json"
EXIT_INCOMPLETE = 66
"""A file that the model needs is missing (EX_NOINPUT of sysexits.h); the program says which."""

_FULL = 1 << 20
_SECONDS = 1800.0


def write_usdz(mesh: TexturedMesh, materials: Mapping[str, Material], textures: Path, target: Path) -> None:
    """Write `target`; its parts are made in a folder beside it, which goes afterwards. `textures` is the folder that
    the materials' texture names refer to.

    `HandoffIncomplete` when a texture is missing, `ConversionFailed` when USD cannot write; OSError.
    """
    parts = target.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    try:
        np.savez(parts / MESH, **{**vars(mesh), "materials": np.array(mesh.materials)})
        (parts / MATERIALS).write_text(json.dumps({name: asdict(material) for name, material in materials.items()}))
        done = run_module(PROGRAM, str(parts), str(textures), str(target), seconds=_SECONDS)
        if done.returncode:
            target.unlink(missing_ok=True)
            raise _failure(done, target)
    except subprocess.TimeoutExpired as error:
        raise ConversionFailed(f"USD did not write the model within {_SECONDS:g} s") from error
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _failure(done: subprocess.CompletedProcess[str], target: Path) -> Exception:
    if done.returncode == EXIT_INCOMPLETE:
        return HandoffIncomplete(done.stdout.strip())
    # USD's errors do not tell a full disk from others.
    if shutil.disk_usage(target.parent).free < _FULL:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    reason = lines[-1] if lines else f"it ended with {done.returncode}"
    return ConversionFailed(f"USD cannot write the model: {reason}", log_tail=tuple(lines[-20:]))
