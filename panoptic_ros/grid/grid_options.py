"""What can be set about the grid: how label images are projected, how observations are fused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from panoptic_ros.geometry.ground_plane import GroundPlane
from panoptic_ros.image_region import ImageRegion
from panoptic_ros.options import check_options, number, option


@dataclass(frozen=True)
class ProjectionOptions:
    """Set how a label image is read as ground, obstacles and neither.

    ground: names of the classes that are free; None: the usual ones that the label set has.
    overhead: names of classes whose lower edge hangs in the air (None: the usual ones): they
        hide the ground but are never placed on it.
    ground_heights: metres of a ground class above the plane; None: the usual kerbs' (for a
        camera below 0.5 m: none, it drives on the pavement).
    ego_mask: bool or integer, non-zero where the own vehicle is, of the picture's shape (H, W).
    region: which pixels of a picture have labels at all; None: all.
    pixel_sigma: standard deviation of a mask's lower edge, pixels; pitch_sigma: of the
        camera's pitch, radians; range_sigma: of measured depth, a fraction of the range.
    The other numbers' metadata describes them. The plane is in the frame of the camera's pose.
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
    region: ImageRegion | None = None
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
        check_options(self)
        for name in ("pixel_sigma", "pitch_sigma", "range_sigma"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; it must be positive")
        if self.min_height >= self.clearance:
            raise ValueError(
                f"min_height {self.min_height} must be less than clearance {self.clearance}"
            )

    @cached_property
    def plane(self) -> GroundPlane:
        """The ground plane that the options describe."""
        return GroundPlane.inclined(self.ground_height, self.ground_pitch, self.ground_roll)


@dataclass(frozen=True)
class SemanticGridOptions:
    """Set the inverse sensor model, how fast memories fade, and what classes cost.

    Each number's metadata holds a `description` and its `limits`, both ends included. The
    defaults of the sensor model were chosen on drives of the town. Raise ValueError that names
    the field and its limits.
    """

    hit_probability: float = number(
        0.8, 0.51, 0.99, "Probability that a cell is occupied, seen so once with full certainty."
    )
    miss_probability: float = number(
        0.3, 0.01, 0.49, "Probability that a cell is occupied, seen free once, fully certain."
    )
    max_log_odds: float = number(
        4.0, 0.5, 20.0, "Largest log-odds that a cell can reach: how sure it can get at all."
    )
    min_log_odds: float = number(
        0.1, 0.0, 5.0, "A cell nearer to even odds than this is unknown (log-odds)."
    )
    static_half_life: float = number(
        30.0, 0.1, 1e6, "Seconds in which evidence of ground and static classes fades to half."
    )
    dynamic_half_life: float = number(
        1.0, 0.1, 1e6, "Seconds in which evidence of things that move fades to half."
    )
    class_prior: float = number(
        0.1, 1e-3, 10.0, "Count that each class has before anything is seen (Dirichlet prior)."
    )
    costs: Mapping[str, int] = field(
        default_factory=dict,
        metadata={"description": "Cost 0..100 per class name, in place of the default."},
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.min_log_odds >= self.max_log_odds:
            raise ValueError(
                f"min_log_odds {self.min_log_odds} must be less than max_log_odds "
                f"{self.max_log_odds}: no cell would ever be known"
            )
        for name, cost in self.costs.items():
            if not 0 <= cost <= 100:
                raise ValueError(f"costs: {cost} for class {name!r}; it must be in 0..100")

    @property
    def hit(self) -> float:
        """Log-odds that an occupied cell gains per observation."""
        return math.log(self.hit_probability / (1 - self.hit_probability))

    @property
    def miss(self) -> float:
        """Log-odds that a free cell gains per observation, negative."""
        return math.log(self.miss_probability / (1 - self.miss_probability))


@dataclass(frozen=True)
class DynamicGridOptions:
    """Set the particle filter that tells cells that move from those that do not.

    Each field's metadata describes it. Raise ValueError that names the field and its limits.
    """

    enabled: bool = option(
        True, "Fill the layers of what moves; false saves their time, they are empty then."
    )
    particles: int = option(
        10000,
        "Most particles; what moves shares them, so that time per frame is bounded.",
        limits=(100, 1_000_000),
    )
    speed: float = number(
        5.0, 0.1, 50.0, "Standard deviation of the velocity of what has just appeared, m/s."
    )
    acceleration: float = number(
        1.0, 0.01, 50.0, "Standard deviation of what velocities change by, m/s^2."
    )
    birth_probability: float = number(
        0.04, 1e-4, 0.5, "Probability that something appears in a cell, per frame."
    )
    track_weight: float = number(
        0.25,
        0.0,
        1.0,
        "Weight of a track's velocity against the particles' in its cells; 0.0: particles alone.",
    )

    def __post_init__(self) -> None:
        check_options(self)
