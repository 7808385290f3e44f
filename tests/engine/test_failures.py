"""Log lines, exit codes and status files become typed errors and warnings: tables."""

from __future__ import annotations

import pytest

from meshroom_tasks import errors
from meshroom_tasks.engine.failures import classify, is_telling, warnings
from meshroom_tasks.engine.memory import memory_limit, oom_kills, was_for_memory

LINES = [
    ("This program needs a CUDA-Enabled GPU (with at least compute capability 2.0).", errors.GpuMissing),
    ("[error] cudaGetDeviceCount failed: no CUDA-capable device is detected", errors.GpuMissing),
    ("[error] No CUDA capable devices detected.", errors.GpuMissing),
    ("Not enough GPU memory to compute a single tile.", errors.GpuMemory),
    ("At least one image should have an initialized intrinsic.", errors.PhotosWithoutCalibration),
    ("[error] At least two images should have an initialized intrinsic.", errors.PhotosWithoutCalibration),
    ("No valid tracks.", errors.PhotosWithoutOverlap),
    ("[error] No valid initial pair found automatically.", errors.PhotosWithoutOverlap),
    ("Initialization failed after trying all possible initial image pairs.", errors.PhotosWithoutOverlap),
    ("[info] Found 0 image dimension(s): ", errors.TooFewCameras),
    ("Depth map fusion gives an empty result.", errors.TooFewCameras),
    ("Too few cameras registered: 2 of 9", errors.TooFewCameras),
    ("No valid mesh was generated.", errors.NoSurface),
    ("[error] Error: empty mesh from the file /a/mesh.obj", errors.NoSurface),
    ("Can't find view 12345 region files", errors.HandoffIncomplete),
    ("filterGroupsRC: bad image dimension for camera: 7", errors.HandoffIncomplete),
    ("[error] Input 'matchesFolders' is missing: /a", errors.HandoffIncomplete),
    ("Invalid setting: DepthMap.downscale: at most 16", errors.SettingInvalid),
    ("ValueError: ChoiceParam value \"huge\" is not in \"['low', 'high']\".", errors.SettingInvalid),
    ("ValueError: IntParam only supports int value (param:x, value:y, type:z)", errors.SettingInvalid),
    ("No vocabulary tree argument.", errors.VocabularyTreeMissing),
    ("Failed to load vocabulary tree file${ALICEVISION_VOCTREE}", errors.VocabularyTreeMissing),
    ("OSError: [Errno 28] No space left on device", errors.DiskFull),
    ("terminate called after throwing an instance of 'std::bad_alloc'", errors.MemoryExhausted),
    ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB", errors.MemoryExhausted),
    ("cv2.error: (-4:Insufficient memory) Failed to allocate 99999 bytes", errors.MemoryExhausted),
]


@pytest.mark.parametrize(("line", "error"), LINES)
@pytest.mark.parametrize("return_code", [1, -6, None])
def test_lines(line: str, error: type[errors.ServiceError], return_code: int | None) -> None:
    found = classify("SomeStage", ["before", line, "after"], 1, return_code, "ERROR")
    assert type(found) is error
    assert found.message.startswith("SomeStage ")
    assert "; " in found.message or error is errors.SettingInvalid, "says what to do"
    assert found.log_tail == ("before", line, "after")
    assert is_telling(line)


@pytest.mark.parametrize(
    ("exit_code", "return_code", "status", "error", "says"),
    [
        (1, -9, "ERROR", errors.EngineKilled, "memory"),
        (1, -15, "ERROR", errors.EngineKilled, "killed"),
        (-9, None, "RUNNING", errors.EngineKilled, "killed"),
        (1, -11, "ERROR", errors.EngineCrashed, "SIGSEGV"),
        (1, -6, "ERROR", errors.EngineCrashed, "SIGABRT"),
        (-6, None, "RUNNING", errors.EngineCrashed, "SIGABRT"),
        (255, None, None, errors.EngineError, "refused its arguments"),
        (0, None, None, errors.EngineError, "left no status"),
        (0, 0, "RUNNING", errors.EngineError, "status is RUNNING"),
        (1, 1, "ERROR", errors.EngineError, "exit code 1"),
        (1, None, None, errors.EngineError, "exit code 1"),
        (-10, None, None, errors.EngineError, "SIGUSR1"),
    ],
)
def test_codes(
    exit_code: int, return_code: int | None, status: str | None, error: type[errors.ServiceError], says: str
) -> None:
    found = classify("SomeStage", ["[12:00:00.1][info] nothing to see"], exit_code, return_code, status)
    assert type(found) is error
    assert says in found.message


def test_killed_from_outside_goes_before_what_the_log_says() -> None:
    assert type(classify("S", ["No valid tracks."], 1, -9)) is errors.EngineKilled


@pytest.mark.parametrize(
    ("exit_code", "return_code", "lines", "short", "error"),
    [
        (1, -9, [], False, errors.EngineKilled),
        (1, -9, [], True, errors.MemoryExhausted),
        (-9, None, [], True, errors.MemoryExhausted),
        (1, -9, ["std::bad_alloc"], False, errors.MemoryExhausted),
        (1, -15, [], True, errors.EngineKilled),
        (1, 1, [], True, errors.EngineError),
    ],
)
def test_kills(
    exit_code: int, return_code: int | None, lines: list[str], short: bool, error: type[errors.ServiceError]
) -> None:
    assert type(classify("S", lines, exit_code, return_code, memory_short=short)) is error


@pytest.mark.parametrize(
    ("kills", "peak", "short"), [(0, 10, False), (1, 10, True), (0, 84, False), (0, 85, True), (0, 120, True)]
)
def test_evidence_of_a_kill_for_memory(kills: int, peak: int, short: bool) -> None:
    assert was_for_memory(kills, peak, limit=100) == short


def test_the_systems_own_counters_can_be_read() -> None:
    assert oom_kills() >= 0
    assert memory_limit() > 2**28


def test_harmless_lines() -> None:
    brute = "No vocabulary tree argument, so it will use the brute force approach which can be compute intensive."
    lines = [brute, "[info] Found 1 image dimension(s): ", "CUDA-Enabled GPU.", "Supported CUDA-Enabled GPU detected."]
    assert type(classify("S", lines, 1, 1)) is errors.EngineError
    assert not any(is_telling(line) for line in lines)


def test_the_last_error_line_is_the_reason() -> None:
    lines = ["[10:00:00.1][error] first.", "[10:00:00.2][fatal] the lens is broken.", "[info] bye"]
    assert classify("S", lines, 1, 1).message == "S failed: the lens is broken"


def test_the_last_sentence_is_the_reason_where_nothing_is_marked() -> None:
    assert classify("S", ["Traceback:", "ValueError: no photos."], 1, None).message == "S failed: ValueError: no photos"


def test_the_counts_stand_in_the_sentence() -> None:
    assert "only 2 of 9 photos" in classify("S", ["Too few cameras registered: 2 of 9"], 1, 1).message


def test_the_tail_is_short() -> None:
    lines = [str(number) for number in range(100)]
    assert classify("S", lines, 1, 1).log_tail == tuple(lines[-50:])


def test_warnings() -> None:
    lines = [
        "[warning] Image 'b.jpg' focal length (in mm) metadata is missing.",
        "Can't compute focal length, use default.",
        "[warning] Image 'a.jpg' focal length (in mm) metadata is missing.",
        "[warning] Sensor width doesn't exist in the sensor database for image(s):",
        "\t- camera brand: Lomo",
        "\t- camera model: LC-A",
    ]
    focal, sensor = warnings(lines)
    assert focal["code"] == "focal_length_missing"
    assert focal["message"].startswith("2 of the photos carry no focal length (a.jpg, b.jpg)")
    assert sensor["code"] == "sensor_unknown"
    assert "LC-A" in sensor["message"]
    assert "`camera.field_of_view_degrees`" in focal["message"]
    assert "`camera.sensor_width_mm`" in sensor["message"]
    assert warnings(["all is well"]) == ()
