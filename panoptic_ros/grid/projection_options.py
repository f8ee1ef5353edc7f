"""How label images are projected onto the ground."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from panoptic_ros.geometry.ground_plane import GroundPlane
from panoptic_ros.options import number


@dataclass(frozen=True)
class ProjectionOptions:
    """Set how a label image is read as ground, obstacles and neither.

    ground: names of the classes that are free; None: the usual ones that the label set has.
    overhead: names of classes whose lower edge hangs in the air (None: the usual ones): they
        hide the ground but are never placed on it.
    ground_heights: metres of a ground class above the plane; None: the usual kerbs' (for a
        camera below 0.5 m: none, it drives on the pavement).
    ground_height, ground_pitch, ground_roll: the ground plane in the frame of the camera pose
        (the rotations about y and x of REP-103's right-handed axes).
    ego_mask: bool or integer, non-zero where the own vehicle is, of the picture's shape (H, W).
    pixel_sigma: standard deviation of a mask's lower edge, pixels; pitch_sigma: of the
        camera's pitch, radians; range_sigma: of measured depth, a fraction of the range.
    Raise ValueError that names the option and its value.
    """

    ground: tuple[str, ...] | None = None
    overhead: tuple[str, ...] | None = None
    ground_heights: Mapping[str, float] | None = None
    ground_height: float = number(
        0.0, -10.0, 10.0, "Height of the ground plane at base_frame's origin, metres."
    )
    ground_pitch: float = number(
        0.0, -0.5, 0.5, "Slope of the ground ahead, radians; positive falls away."
    )
    ground_roll: float = number(
        0.0, -0.5, 0.5, "Slope of the ground to the right, radians; positive falls away."
    )
    hidden_rows: int = number(
        0, 0, 10000, "Rows at the picture's lower edge that show the vehicle itself, pixels."
    )
    ego_mask: np.ndarray | None = field(default=None, compare=False)
    max_footprint: float = number(
        2.0, 0.01, 100.0, "Metres of ground under one pixel from which on a cell is unknown."
    )
    min_height: float = number(
        0.25, 0.0, 10.0, "Points of depth or points lower than this are ground, metres."
    )
    clearance: float = number(
        2.5, 0.1, 100.0, "Points of depth or points higher than this are no obstacle, metres."
    )
    pixel_sigma: float = 1.0
    pitch_sigma: float = 0.003
    range_sigma: float = 0.02

    def __post_init__(self) -> None:
        for name in ("ground_height", "ground_pitch", "ground_roll"):
            if not np.isfinite(getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)} must be finite")
        for name in ("ground_pitch", "ground_roll"):
            if abs(getattr(self, name)) >= np.pi / 4:
                raise ValueError(f"{name} {getattr(self, name)} must be within 0.78 radians")
        for name in ("max_footprint", "pixel_sigma", "pitch_sigma", "range_sigma"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value} must be positive")
        if not 0 <= self.min_height < self.clearance:
            raise ValueError(
                f"min_height {self.min_height} must be 0 or more "
                f"and less than clearance {self.clearance}"
            )

    @property
    def plane(self) -> GroundPlane:
        """The ground plane that the options describe."""
        return GroundPlane.inclined(self.ground_height, self.ground_pitch, self.ground_roll)
