"""What a stage's log, exit code and status mean: pure functions from lines to typed errors and warnings.

The texts looked for are those of AliceVision 3.2 and 3.3, of Meshroom 2023.3 and 2025.1, and of the CPU engine.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from meshroom_tasks.errors import (
    DiskFull,
    EngineCrashed,
    EngineError,
    EngineKilled,
    GpuMemory,
    GpuMissing,
    HandoffIncomplete,
    MemoryExhausted,
    NoSurface,
    PhotosWithoutCalibration,
    PhotosWithoutOverlap,
    ServiceError,
    SettingInvalid,
    TooFewCameras,
    VocabularyTreeMissing,
)

TAIL_LINES = 50
_REASON_LENGTH = 300


@dataclass(frozen=True)
class _Rule:
    """Lines that match `pattern` mean `error`. `sentence` may use the stage's name and the pattern's named groups."""

    pattern: re.Pattern[str]
    error: type[ServiceError]
    sentence: str


def _rule(pattern: str, error: type[ServiceError], sentence: str) -> _Rule:
    return _Rule(re.compile(pattern), error, sentence)


_OVERLAP = "take more photos of one object that stands still, each overlapping its neighbours by about 70 %"
_SETTING = "{stage} was given a setting that it does not take: {reason}"

VOCABULARY_TREE_SOURCE = "https://gitlab.com/alicevision/trainedVocabularyTreeData/raw/master/vlfeat_K80L3.SIFT.tree"
"""Where AliceVision's own build takes it from."""

_OUT_OF_MEMORY = r"std::bad_alloc|MemoryError\b|[Cc]annot allocate memory|Insufficient memory|Out of memory"
_MEMORY = "{stage} ran out of memory; give it a larger worker, or lower its settings, or send fewer or smaller photos"

_RULES = (
    _rule(r"Invalid setting: (?P<reason>.*)", SettingInvalid, _SETTING),
    _rule(r"(?P<reason>ChoiceParam value .* is not in .*)", SettingInvalid, _SETTING),
    _rule(r"(?P<reason>\w+(?:Param|Attribute) (?:value should|only supports) .*)", SettingInvalid, _SETTING),
    _rule(
        r"needs a CUDA-Enabled GPU|cudaGetDeviceCount failed|No CUDA capable devices|Can't find CUDA-Enabled GPU",
        GpuMissing,
        "{stage} found no usable GPU on this machine; it is tried again elsewhere, check the GPU workers' drivers",
    ),
    _rule(
        r"Not enough GPU memory|CUDA Error: out of memory",
        GpuMemory,
        "{stage} needs more GPU memory than the card has; raise `downscale` of DepthMap or send smaller photos",
    ),
    _rule(
        r"At least (?:one image|two images) should have an initialized intrinsic",
        PhotosWithoutCalibration,
        "{stage} found the camera's focal length in no photo; send photos as the camera wrote them, with EXIF, "
        "or say `camera.field_of_view_degrees`",
    ),
    _rule(
        r"No valid tracks\.|No valid initial pair found|Initialization failed after trying all possible initial",
        PhotosWithoutOverlap,
        "{stage} found no photos that show the same things; " + _OVERLAP,
    ),
    _rule(
        r"Too few cameras registered: (?P<count>\d+) of (?P<given>\d+)",
        TooFewCameras,
        "{stage} could place only {count} of {given} photos; " + _OVERLAP,
    ),
    _rule(
        r"Found 0 image dimension\(s\)|Depth map fusion gives an empty result",
        TooFewCameras,
        "{stage} found too few placed photos to work with; " + _OVERLAP,
    ),
    _rule(
        r"No valid mesh was generated|Error: empty mesh from the file",
        NoSurface,
        "{stage} found no surface; take sharper photos of a textured, matt object, closer and from more sides",
    ),
    _rule(
        r"Can't find view .* region files|[Bb]ad image dimension|Input '\w+' is missing",
        HandoffIncomplete,
        "{stage} did not find all files that it reads; it is tried again with a fresh copy of them",
    ),
    _rule(
        r"No vocabulary tree argument\.|Failed to load vocabulary tree file|Unrecognized Vocabulary tree filename",
        VocabularyTreeMissing,
        "{stage} has no vocabulary tree on this machine; whoever runs the service has to get "
        f"{VOCABULARY_TREE_SOURCE} and name it in ALICEVISION_VOCTREE; without it, use `draft` or `default` "
        "with fewer than 200 photos",
    ),
    _rule(
        r"No space left on device|Disk quota exceeded",
        DiskFull,
        "{stage} ran out of disk space; it is tried again, make room in the workspace",
    ),
    _rule(_OUT_OF_MEMORY, MemoryExhausted, _MEMORY),
)

_CRASHES = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL}
_KILLS = {-signal.SIGKILL, -signal.SIGTERM}
_BAD_USAGE = 255


def classify(
    stage: str,
    lines: Sequence[str],
    exit_code: int,
    return_code: int | None,
    status: str | None = None,
    *,
    memory_short: bool = False,
) -> ServiceError:
    """The error that a failed stage means.

    `exit_code` is the command's (negative: a signal), `return_code` and `status` are those of the status file, None
    where it does not say. `memory_short`: if a process was killed, it was for lack of memory.
    What killed a process from outside goes before what its log says, and that before its code.
    """
    tail = tuple(lines[-TAIL_LINES:])
    if exit_code in _KILLS or return_code in _KILLS:
        for_memory = memory_short and -signal.SIGKILL in (exit_code, return_code)
        if for_memory or any(re.search(_OUT_OF_MEMORY, line) for line in lines):
            return MemoryExhausted(_MEMORY.format(stage=stage), log_tail=tail)
        by = _signal_name(exit_code if exit_code in _KILLS else return_code)
        sentence = f"{stage} was killed ({by}), by somebody or for lack of memory; it is tried once more, elsewhere"
        return EngineKilled(sentence, log_tail=tail)
    for rule in _RULES:
        for line in lines:
            if found := rule.pattern.search(line):
                return rule.error(rule.sentence.format(stage=stage, **found.groupdict()), log_tail=tail)
    if exit_code in _CRASHES or return_code in _CRASHES:
        code = return_code if return_code in _CRASHES else exit_code
        return EngineCrashed(f"{stage} crashed ({_signal_name(code)}); it is tried once more", log_tail=tail)
    if exit_code == _BAD_USAGE:
        return EngineError(f"{stage}'s command refused its arguments; check the engine's version", log_tail=tail)
    if exit_code == 0:
        ending = f"its status is {status}" if status else "it left no status"
        return EngineError(f"{stage} ended without having succeeded ({ending}); it is tried again", log_tail=tail)
    return EngineError(f"{stage} failed: {_reason(lines, exit_code)}", log_tail=tail)


def is_telling(line: str) -> bool:
    """Whether a line bears on `classify` or `warnings`: what has to be kept of a log too long to keep."""
    return any(rule.pattern.search(line) for rule in _RULES) or any(rule.pattern.search(line) for rule in _WARNINGS)


@dataclass(frozen=True)
class _WarningRule:
    """Lines that match are one warning; its sentence names their number, and the first `subject`s."""

    pattern: re.Pattern[str]
    code: str
    sentence: str


_WARNINGS = (
    _WarningRule(
        re.compile(r"Image '(?P<subject>[^']*)' focal length \(in mm\) metadata is missing"),
        "focal_length_missing",
        "{count} of the photos carry no focal length ({subjects}); it was estimated, which costs accuracy; "
        "if you know the lens, send `camera.field_of_view_degrees`",
    ),
    _WarningRule(
        re.compile(r"^\s*- camera model: (?P<subject>.+)|Sensor width doesn't exist in the sensor database"),
        "sensor_unknown",
        "the camera's sensor is not in the database ({subjects}); its size was estimated, which costs accuracy; "
        "if you know its width, send `camera.sensor_width_mm`",
    ),
)
_SUBJECTS_SHOWN = 3


def warnings(lines: Iterable[str]) -> tuple[dict[str, str], ...]:
    """What a client should know though nothing failed: `{"code", "message"}`, each code at most once."""
    found: dict[str, list[str]] = {}
    for line in lines:
        for rule in _WARNINGS:
            if match := rule.pattern.search(line):
                found.setdefault(rule.code, []).append((match["subject"] or "").strip())
    return tuple(
        {"code": rule.code, "message": _warning(rule, found[rule.code])} for rule in _WARNINGS if rule.code in found
    )


def _warning(rule: _WarningRule, subjects: list[str]) -> str:
    known = sorted({subject for subject in subjects if subject})
    shown = ", ".join(known[:_SUBJECTS_SHOWN]) + (", ..." if len(known) > _SUBJECTS_SHOWN else "")
    return rule.sentence.format(count=len(subjects), subjects=shown or "no name given")


def _reason(lines: Sequence[str], exit_code: int) -> str:
    """What the engine itself says last of an error, else its last sentence, else its exit code."""
    for line in reversed(lines):
        if found := re.search(r"\[(?:error|fatal)\]\s*(.+)", line):
            return found[1].strip().rstrip(".")
    last = lines[-1] if lines else ""
    if last[:1].isalpha() and " " in last:
        return last[:_REASON_LENGTH].rstrip(".")
    return f"its command ended with {_signal_name(exit_code) if exit_code < 0 else f'exit code {exit_code}'}"


def _signal_name(code: int | None) -> str:
    return signal.Signals(-code).name if code and code < 0 else str(code)
