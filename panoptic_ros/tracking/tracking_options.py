"""What can be set about tracking."""

from __future__ import annotations

from dataclasses import dataclass

from panoptic_ros.options import check_options, number


@dataclass(frozen=True)
class TrackingOptions:
    """Hold the settings of the tracker; each field's metadata says what it is, and its range.

    Raise ValueError that names the field and its range.
    """

    coast_time: float = number(1.0, 0.0, 10.0, "Seconds that a track outlives its last sighting.")
    start_score: float = number(
        0.6,
        0.0,
        1.0,
        "Only instances of at least this score start a track; lower ones go on with one.",
    )
    min_similarity: float = number(
        0.25,
        0.05,
        1.0,
        "Least likeness of a track's expected box and an instance's: (1 + GIoU) / 2 times the "
        "instance's score.",
    )
    speed: float = number(
        5.0, 0.1, 50.0, "Standard deviation of a new track's speed over the ground, m/s."
    )
    acceleration: float = number(
        2.0, 0.01, 50.0, "Standard deviation of what speeds change by, m/s^2."
    )

    def __post_init__(self) -> None:
        check_options(self)
