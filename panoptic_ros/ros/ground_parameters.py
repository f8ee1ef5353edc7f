"""The parameters of the ground: where the camera is, the grid, the tracks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, make_dataclass
from typing import Any

import numpy as np

from panoptic_ros.geometry.poses import optical_pose
from panoptic_ros.grid.costs import COSTS, LETHAL
from panoptic_ros.grid.projection_options import ProjectionOptions
from panoptic_ros.grid.semantic_grid import SemanticGridOptions
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundOptions
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.ros.parameter_spec import Change, choice, parameter
from panoptic_ros.ros.transforms import is_available
from panoptic_ros.tracking import TrackingOptions


def _number(default: float, low: float, high: float, description: str) -> Any:
    # What is built from these lives as long as the node is active.
    return parameter(default, description, change=Change.NOT_ACTIVE, limits=(low, high))


def _frame(default: str, description: str) -> Any:
    return parameter(
        default,
        description,
        change=Change.NOT_ACTIVE,
        pattern=r"[^/\s]\S*",
        allowed="a frame without a leading slash",
    )


def _numbers_of(options: type, name: str) -> type:
    """Return a dataclass of parameters for the numbers among the fields of an options class."""
    entries = [entry for entry in fields(options) if "limits" in entry.metadata]
    return make_dataclass(
        name,
        [
            (
                entry.name,
                float,
                _number(entry.default, *entry.metadata["limits"], entry.metadata["description"]),
            )
            for entry in entries
        ],
        frozen=True,
    )


GridParameters = _numbers_of(SemanticGridOptions, "GridParameters")
TrackingParameters = _numbers_of(TrackingOptions, "TrackingParameters")
CostParameters = make_dataclass(
    "CostParameters",
    [
        (
            entry.name.replace(" ", "_"),
            int,
            _number(
                COSTS.get(entry.name, LETHAL), 0, LETHAL, f"Cost of {entry.name} in ~/cost_grid."
            ),
        )
        for entry in CITYSCAPES.classes
    ],
    frozen=True,
)


@dataclass(frozen=True)
class WindowParameters:
    """Describe the grid's window, in `base_frame`."""

    x_min: float = _number(0.0, -200.0, 200.0, "Smallest x of the grid, metres.")
    y_min: float = _number(-20.0, -200.0, 200.0, "Smallest y of the grid, metres.")
    length: float = _number(60.0, 0.1, 200.0, "Side along x, metres: a whole number of cells.")
    width: float = _number(40.0, 0.1, 200.0, "Side along y, metres: a whole number of cells.")
    resolution: float = _number(0.2, 0.02, 5.0, "Side of a cell, metres.")


@dataclass(frozen=True)
class CameraParameters:
    """Say where the camera is."""

    source: str = choice(
        "auto",
        "Where the camera's pose comes from: tf, parameters (x ... yaw below), or auto: tf where "
        "tf2_ros is installed, else the parameters.",
        "auto",
        "tf",
        "parameters",
        change=Change.NOT_ACTIVE,
    )
    x: float = _number(1.7, -100.0, 100.0, "Camera in base_frame, metres ahead.")
    y: float = _number(0.0, -100.0, 100.0, "Camera in base_frame, metres to the left.")
    z: float = _number(1.22, 0.01, 100.0, "Camera above the ground, metres.")
    roll: float = _number(0.0, -3.2, 3.2, "Rotation about x, radians.")
    pitch: float = _number(0.038, -3.2, 3.2, "Rotation about y, radians; positive looks down.")
    yaw: float = _number(0.0, -3.2, 3.2, "Rotation about z, radians; positive looks left.")

    def base_from_optical(self) -> np.ndarray:
        """Return the pose that the parameters describe, float [4, 4]."""
        return optical_pose(self.x, self.y, self.z, self.roll, self.pitch, self.yaw)


@dataclass(frozen=True)
class ProjectionParameters:
    """Describe the ground and what counts as an obstacle."""

    ground_height: float = _number(
        0.0, -10.0, 10.0, "Height of the ground plane at base_frame's origin, metres."
    )
    ground_pitch: float = _number(
        0.0, -0.5, 0.5, "Slope of the ground ahead, radians; positive falls away."
    )
    ground_roll: float = _number(
        0.0, -0.5, 0.5, "Slope of the ground to the right, radians; positive falls away."
    )
    hidden_rows: int = _number(
        0, 0, 10000, "Rows at the picture's lower edge that show the vehicle itself, pixels."
    )
    max_footprint: float = _number(
        2.0, 0.01, 100.0, "Metres of ground under one pixel from which on a cell is unknown."
    )
    min_height: float = _number(
        0.25, 0.0, 10.0, "Points of depth or points lower than this are ground, metres."
    )
    clearance: float = _number(
        2.5, 0.1, 100.0, "Points of depth or points higher than this are no obstacle, metres."
    )


@dataclass(frozen=True)
class GroundParameters:
    """Hold what places frames on the ground."""

    base_frame: str = _frame("base_link", "Frame of the vehicle, on the ground; the grid's frame.")
    odom_frame: str = _frame("odom", "Frame that ego_motion:=tf moves in.")
    level_frame: str = parameter(
        "",
        "Frame that shares base_frame's x, y and heading but is levelled, by an IMU say, and "
        "lies on the ground: the camera's height, pitch and roll are taken from there (with tf). "
        "'': base_frame itself.",
        change=Change.NOT_ACTIVE,
        pattern=r"([^/\s]\S*)?",
        allowed="a frame without a leading slash, or ''",
    )
    ego_motion: str = choice(
        "odometry",
        "Where the vehicle's motion comes from: odometry (the topic `odom`), tf (odom_frame to "
        "base_frame), or none: each grid is of one frame.",
        "odometry",
        "tf",
        "none",
        change=Change.NOT_ACTIVE,
    )
    timeout: float = _number(
        0.2, 0.0, 5.0, "Longest wait for TF, odometry, depth and points of an image, seconds."
    )
    match_tolerance: float = _number(
        0.05, 0.0, 1.0, "Largest difference of the stamps of an image and its depth or points, s."
    )
    camera: CameraParameters = field(default_factory=CameraParameters)
    window: WindowParameters = field(default_factory=WindowParameters)
    projection: ProjectionParameters = field(default_factory=ProjectionParameters)
    grid: Any = field(default_factory=GridParameters)
    costs: Any = field(default_factory=CostParameters)
    tracking: Any = field(default_factory=TrackingParameters)

    @property
    def camera_pose_source(self) -> str:
        """`tf` or `parameters`."""
        if self.camera.source == "auto":
            return "tf" if is_available() else "parameters"
        return self.camera.source

    def options(self) -> GroundOptions:
        """Return what the parameters say.

        Raise ValueError for what does not fit together, or needs tf2_ros where it is missing.
        """
        needs_tf = "tf" in (self.camera.source, self.ego_motion) or self.level_frame
        if needs_tf and not is_available():
            raise ValueError(
                "ground.camera.source:=tf, ground.ego_motion:=tf and ground.level_frame need "
                "tf2_ros, which is not installed (or not sourced); use parameters and odometry"
            )
        costs = {name.replace("_", " "): cost for name, cost in asdict(self.costs).items()}
        return GroundOptions(
            base_frame=self.base_frame,
            window=GridWindow(**asdict(self.window)),
            projection=ProjectionOptions(**asdict(self.projection)),
            grid=SemanticGridOptions(**asdict(self.grid), costs=costs),
            tracking=TrackingOptions(**asdict(self.tracking)),
        )
