"""AliceVision's sensor database: lines `make;model;sensor width in mm;source`, comments behind `#`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class SensorDatabaseError(ValueError):
    """A sensor database that is named and cannot be read."""


@dataclass(frozen=True)
class Sensors:
    """Sensors by make and model, in the order of the file; widths in mm, of the longer side."""

    known: tuple[tuple[str, str, float], ...] = ()

    def width_of(self, make: str, model: str) -> float | None:
        """The first that fits, by AliceVision's rule: without case, spaces and punctuation, one make begins with the
        other and one model ends with the other. None: no such camera."""
        make, model = _plain(make), _plain(model)
        if not make and not model:
            return None
        for known_make, known_model, width in self.known:
            if (make.startswith(known_make) or known_make.startswith(make)) and (
                model.endswith(known_model) or known_model.endswith(model)
            ):
                return width
        return None


NO_SENSORS = Sensors()


def read(path: str) -> Sensors:
    """No sensors for "" and for a variable that is not set (`${NAME}`). Raises SensorDatabaseError."""
    if not path or path.startswith("${"):
        return NO_SENSORS
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        rows = [line.split(";") for line in text.splitlines() if line and not line.startswith("#")]
        return Sensors(tuple((_plain(row[0]), _plain(row[1]), float(row[2])) for row in rows if len(row) >= 4))
    except (OSError, ValueError) as error:
        raise SensorDatabaseError(f"the sensor database {path} cannot be read: {error}") from error


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
