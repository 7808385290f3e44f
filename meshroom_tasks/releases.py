"""In what the releases of Meshroom differ, as far as the service sees it.

                                2023.3                        2025.1
    templates, saved graphs     fileVersion 1.1               fileVersion 2.0; does not open a graph of 2023.3
    a node's uid                `uids: {"0": ...}`            `uid` (graph.py reads both)
    node types                  as in `nodes.json`            as in `2025.1/nodes.json`
    values that are no choice   refused when planning         taken as they are: only the catalogue refuses them
    meshroom_compute            computes where it is          starts itself anew for Python nodes, in a session of its
                                                              own, unless told `--inCurrentEnv`
    program of a stage          child of meshroom_compute     the same, in a session of its own (warden.py ends both)
    cache folder, status, log   the same in both
    `--version`                 in neither: it stands in the graphs that they save

An engine that names no release of Meshroom, such as the CPU engine, speaks that of 2023.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_YEAR = re.compile(r"(?<!\d)(20\d\d)\.\d")


@dataclass(frozen=True)
class Release:
    """`compute_options`: what `meshroom_compute` is told besides the graph, the node and the chunk."""

    name: str
    year: int
    compute_options: tuple[str, ...] = ()


RELEASES = (Release("2023.3", 2023), Release("2025.1", 2025, ("--inCurrentEnv",)))
"""Oldest first; the first one holds where nothing is said."""


def names_release(text: str) -> bool:
    return _YEAR.search(text) is not None


def release_of(text: str) -> Release:
    """The release that an engine's identity or a graph's `releaseVersion` means: the newest that is no newer."""
    found = _YEAR.search(text)
    year = int(found[1]) if found else RELEASES[0].year
    return max((release for release in RELEASES if release.year <= year), key=lambda r: r.year, default=RELEASES[0])
