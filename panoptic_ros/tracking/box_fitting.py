"""An oriented box around the points of an object that is seen from one side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.tracking.instance_points import InstancePoints

# Length, width, height of what is not seen: nuScenes' means by class (Caesar et al. 2020,
# "nuScenes: A multimodal dataset for autonomous driving"), rounded; a rider's, who has no class
# there, is a person's who leans over a bicycle. Metres.
SIZES = {
    "person": (0.7, 0.7, 1.75),
    "rider": (0.8, 0.7, 1.75),
    "car": (4.6, 1.95, 1.7),
    "truck": (6.9, 2.5, 2.8),
    "bus": (11.0, 2.9, 3.5),
    "train": (14.0, 2.9, 3.8),
    "motorcycle": (2.1, 0.8, 1.45),
    "bicycle": (1.7, 0.6, 1.3),
}
# What has no sides: its heading is the way that it goes, or towards the camera.
ROUND = frozenset({"person", "rider"})
# With fewer points there is no box.
_FEWEST = 5
# Points of an outline after thinning; side of a cell for it, metres.
_OUTLINE, _THIN = 400, 0.05
_ANGLES = np.radians(np.arange(0, 90, 1.5))
# Points nearer than this to a side count alike, metres.
_ON_SIDE = 0.05
# Share of the points outside on each side: what measures wrongly.
_OUTSIDE = 0.01
# A face seen at less than this angle to its plane (sine) shows too little of its length.
_GRAZING = 0.15
# A side that looks shorter than this share of what is expected is not seen as a whole.
_SHORTEST = 0.7
# What a heading against the expected one costs, in shares of a size that does not fit.
_TURNED = 0.5


@dataclass(frozen=True)
class FittedBox:
    """Hold a box.

    is_measured: whether length, width and height are; heading_sigma: standard deviation of the
    yaw, radians.
    """

    cuboid: Cuboid
    is_measured: tuple[bool, bool, bool]
    heading_sigma: float


def fit_box(
    measured: InstancePoints,
    at: Viewpoint,
    size: tuple[float, float, float] | None,
    yaw: float | None = None,
    *,
    is_round: bool = False,
) -> FittedBox | None:
    """Return the box around an instance's points, on the ground; None for too few points.

    at: where they are seen from; size: what length, width and height are expected, None:
    nothing is known, the longer side is the length; yaw: expected heading, radians, or None;
    is_round: the heading is not to be seen.

    The heading makes most points lie on the rectangle's sides (the closeness criterion of Zhang
    et al. 2017, "Efficient L-Shape Fitting for Vehicle Detection Using Laser Scanners"). What
    is not seen of its length or width is as expected, and reaches away from what is seen.
    """
    if len(measured.points) < _FEWEST:
        return None
    # However many pixels see a side, it counts by its length.
    xy, eye = _thinned(measured.points[:, :2]), at.position[:2]
    if is_round:
        sight = xy.mean(axis=0) - eye
        angle = math.atan2(sight[1], sight[0]) if yaw is None else yaw
        turns: tuple[float, ...] = (0.0,)
    else:
        angle, turns = _edge_angle(xy), (0.0, math.pi / 2)
    sides = [_Sides.of(xy, eye, angle + turn, measured) for turn in turns]
    found = min(sides, key=lambda s: s.misfit(size, yaw))
    spans = found.high - found.low
    if size is None:
        is_full, full = np.array([True, True]), np.where(found.faces > _GRAZING, spans, spans.min())
    else:
        is_full = (found.faces > _GRAZING) & ~found.hides & (spans > _SHORTEST * np.array(size[:2]))
        full = np.where(is_full, spans, np.maximum(spans, size[:2]))
    full = np.maximum(full, _THIN)
    middle = found.axes.T @ found.middle(full, is_full)
    ground = float(at.plane.z(*middle))
    top = float(np.quantile(at.plane.height_above(measured.points), 1 - _OUTSIDE)) + measured.margin
    if measured.cut_top and size is not None:
        top = max(top, size[2])
    height = max(top, _THIN)
    return FittedBox(
        Cuboid(
            (float(middle[0]), float(middle[1]), ground + height / 2),
            (float(full[0]), float(full[1]), height),
            found.yaw,
        ),
        (bool(is_full[0]), bool(is_full[1]), not measured.cut_top),
        math.atan2(2 * _THIN, float(spans.max())) if not is_round else math.pi / 4,
    )


@dataclass(frozen=True)
class _Sides:
    """Hold a rectangle around points: along its length first, then along its width.

    yaw: of its length; axes: [2, 2], unit vectors in rows; low, high: [2], ends along them;
    eye: [2], where the camera is along them; faces: [2], sine of the angle at which the face
    that spans each is seen; hides: bool [2], whether one of its ends is hidden; open_end: [2],
    the sign of the hidden end along each, 0 where both or none is.
    """

    yaw: float
    axes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    eye: np.ndarray
    faces: np.ndarray
    hides: np.ndarray
    open_end: np.ndarray

    @classmethod
    def of(cls, xy: np.ndarray, eye: np.ndarray, yaw: float, measured: InstancePoints) -> _Sides:
        c, s = math.cos(yaw), math.sin(yaw)
        axes = np.array([[c, s], [-s, c]])
        along = xy @ axes.T
        low, high = np.quantile(along, (_OUTSIDE, 1 - _OUTSIDE), axis=0)
        place = axes @ eye
        sight = (low + high) / 2 - place
        sight /= max(float(np.hypot(*sight)), _THIN)
        # The face that spans the length is seen along the width, and the other way round.
        faces = np.abs(sight[::-1])
        # Which way each axis leads to the left of the line of sight.
        leftward = np.sign([-sight[1], sight[0]])
        left, right = measured.hidden
        # The margin is at the ends that stand out against the background, not at the corner
        # that is nearest.
        margin = measured.margin / np.maximum(faces, _GRAZING)
        is_alone = (low < place) & (place < high)
        low -= np.where(is_alone | (low < place), margin, 0)
        high += np.where(is_alone | (high > place), margin, 0)
        return cls(
            yaw=yaw,
            axes=axes,
            low=low,
            high=high,
            eye=place,
            faces=faces,
            hides=np.array([left or right] * 2) & (faces > 2 * _GRAZING),
            open_end=leftward * (int(left) - int(right)),
        )

    def misfit(self, size: tuple[float, float, float] | None, yaw: float | None) -> float:
        """Return how badly the sides fit what is expected."""
        spans = self.high - self.low
        if size is None:
            return float(spans[1] - spans[0])
        relative = spans / size[:2] - 1
        lacks = np.where(self.hides, 0, self.faces * np.maximum(-relative, 0))
        cost = float(np.maximum(relative, 0).sum() + lacks.sum())
        return cost if yaw is None else cost + _TURNED * math.sin(self.yaw - yaw) ** 2

    def middle(self, full: np.ndarray, is_full: np.ndarray) -> np.ndarray:
        """Return the middle of a rectangle of a size [2], along the axes."""
        centre = (self.low + self.high) / 2
        # Away from the camera, or to the end that is hidden.
        away = np.where(
            self.hides & (self.open_end != 0), self.open_end, np.sign(centre - self.eye)
        )
        grown = np.where(away > 0, self.low + full / 2, self.high - full / 2)
        return np.where(is_full, centre, grown)


def _thinned(xy: np.ndarray) -> np.ndarray:
    """Return one point of each small cell that has some, as far as an outline needs them."""
    cells = np.floor((xy - xy.min(axis=0)) / _THIN).astype(np.int64)
    _, first = np.unique(cells @ [1 << 32, 1], return_index=True)
    points = xy[np.sort(first)]
    return points[:: -(-len(points) // _OUTLINE)]


def _edge_angle(xy: np.ndarray) -> float:
    """Return the angle, 0..pi/2, of a rectangle's side on which most points lie."""
    c, s, (x, y) = np.cos(_ANGLES), np.sin(_ANGLES), xy.T[..., None]
    along = np.stack([x * c + y * s, y * c - x * s])
    low, high = np.quantile(along, (_OUTSIDE, 1 - _OUTSIDE), axis=1, keepdims=True)
    distance = np.minimum(np.abs(along - low), np.abs(high - along)).min(axis=0)
    closeness = (1 / np.maximum(distance, _ON_SIDE)).sum(axis=0)
    return float(_ANGLES[closeness.argmax()])
