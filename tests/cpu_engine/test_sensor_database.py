from __future__ import annotations

from pathlib import Path

import pytest

from meshroom_tasks.cpu_engine.sensor_database import NO_SENSORS, SensorDatabaseError, read

LINES = "# make;model;width;source\nAcme;Acme Phone-7;6.17;a\nSony;A7;35.6;b\nshort;line\n\nSony;A7;1;later\n"


@pytest.mark.parametrize(
    ("make", "model", "width"),
    [
        ("Acme", "Acme Phone-7", 6.17),
        ("ACME", "phone 7", 6.17),
        ("Acme Corporation", "Phone 7", 6.17),
        ("SONY", "A7", 35.6),
        ("Sony", "A7 II", None),
        ("Other", "A7", None),
        ("", "", None),
    ],
)
def test_a_cameras_sensor(tmp_path: Path, make: str, model: str, width: float | None) -> None:
    (tmp_path / "sensors.db").write_text(LINES)
    assert read(str(tmp_path / "sensors.db")).width_of(make, model) == width


@pytest.mark.parametrize("path", ["", "${ALICEVISION_SENSOR_DB}"])
def test_none_is_named(path: str) -> None:
    assert read(path) == NO_SENSORS


def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SensorDatabaseError, match=r"none\.db cannot be read"):
        read(str(tmp_path / "none.db"))
    (tmp_path / "bad.db").write_text("Acme;Phone;wide;a\n")
    with pytest.raises(SensorDatabaseError, match=r"bad\.db cannot be read"):
        read(str(tmp_path / "bad.db"))
