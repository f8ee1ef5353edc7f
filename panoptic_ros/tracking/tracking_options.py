"""What can be set about tracking."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields


def _option(default: float, description: str, limits: tuple[float, float]) -> float:
    return field(default=default, metadata={"description": description, "limits": limits})


@dataclass(frozen=True)
class TrackingOptions:
    """Hold the settings of the tracker; each field's metadata says what it is, and its range.

    Raise ValueError that names the field and its range.
    """

    coast_time: float = _option(
        1.0, "Seconds that a track outlives its last sighting.", (0.0, 10.0)
    )
    start_score: float = _option(
        0.6,
        "Only instances of at least this score start a track; lower ones go on with one.",
        (0.0, 1.0),
    )
    min_similarity: float = _option(
        0.25,
        "Least likeness of a track's expected box and an instance's: (1 + GIoU) / 2 times the "
        "instance's score.",
        (0.05, 1.0),
    )
    speed: float = _option(
        5.0, "Standard deviation of a new track's speed over the ground, m/s.", (0.1, 50.0)
    )
    acceleration: float = _option(
        2.0, "Standard deviation of what speeds change by, m/s^2.", (0.01, 50.0)
    )

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, (low, high) = getattr(self, entry.name), entry.metadata["limits"]
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{entry.name} is {value}; it must be in {low}..{high}")
