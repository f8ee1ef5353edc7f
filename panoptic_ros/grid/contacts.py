"""Where obstacles stand: the nearest contact with the ground along every line of sight."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.grid.label_kinds import NEITHER, OBSTACLE, LabelKinds
from panoptic_ros.grid.lookup import SightLines
from panoptic_ros.labels import INSTANCE_DIVISOR

# Instances seen on fewer lines than this have no outline to speak of.
_OUTLINE_LINES = 5


@dataclass(frozen=True)
class Contacts:
    """Hold the obstacle that each of C lines of sight meets first.

    distance: float [C], metres from the camera's foot, inf where nothing is placed; value:
    int [C], its value in the label image, 0 where none is known; limit: float [C], metres from
    which on the line is blocked: the distance, or 0 behind an obstacle that stands nearer than
    the ground that the picture shows, or inf.
    """

    distance: np.ndarray
    value: np.ndarray
    limit: np.ndarray


class ContactEdges:
    """Find the lower contact edge of masks in a label image, line by line.

    An obstacle is placed where a line runs from ground into its mask. One that begins at the
    picture's lower edge (or the bonnet) has its contact out of sight, one that begins above
    another thing's mask or a sign has it hidden: neither is placed.
    """

    def __init__(self, lines: SightLines, kinds: LabelKinds, camera_height: float) -> None:
        self._lines = lines
        self._kinds = kinds
        self._index = lines.index.ravel()
        self._columns = np.arange(len(lines.bearings))
        between = (lines.distances[1:] + lines.distances[:-1]) / 2
        self._between = np.append(lines.distances[0], between)
        # A sight line meets ground at height h before it meets the plane below it.
        self._nearer = np.ones(OBSTACLE + 1)
        heights = np.array(kinds.heights)
        self._nearer[1 : len(heights) + 1] = 1 - heights / camera_height

    def __call__(self, labels: np.ndarray) -> Contacts:
        """Return the contacts of a label image, uint16 or int32 [H, W]."""
        shape = self._lines.seen.shape
        values = labels.ravel().take(self._index)
        kinds = self._kinds.kinds.take(values, mode="clip").reshape(shape)
        # One line after another from here on: a search then ends where it finds something.
        kinds = cv2.transpose(cv2.multiply(kinds, self._lines.seen))
        obstacle = kinds == OBSTACLE
        ground = (kinds != OBSTACLE) & (kinds != NEITHER)
        meets = obstacle[:, 1:] & ground[:, :-1]
        sample = meets.argmax(axis=1)
        found = meets[self._columns, sample]
        below = kinds[self._columns, sample]
        sample += 1
        value = np.where(found, values.reshape(shape)[sample, self._columns], 0)
        distance = np.where(found, self._between[sample] * self._nearer[below], np.inf)
        self._straighten(distance, value)
        cut = obstacle[self._columns, self._lines.first]
        distance[cut], value[cut] = np.inf, 0
        return Contacts(distance, value, np.where(cut, 0.0, distance))

    def _straighten(self, distance: np.ndarray, value: np.ndarray) -> None:
        """Draw each instance's outline towards the camera where it bends away, in place.

        A vehicle touches the ground at its wheels; the mask's edge between them is the body's,
        in the air, and seen against ground that lies further away. The outline's convex hull
        runs from wheel to wheel.
        """
        order = np.argsort(value, kind="stable")
        ids, starts = np.unique(value[order], return_index=True)
        for instance, lines in zip(ids, np.split(order, starts[1:]), strict=True):
            if instance >= INSTANCE_DIVISOR and len(lines) >= _OUTLINE_LINES:
                distance[lines] = _near_hull(self._lines.bearings[lines], distance[lines])


def _near_hull(bearing: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the distance of the convex hull's side towards the camera, at each bearing.

    With s = tan(bearing) and w = 1 / (distance * cos(bearing)), bearings from their middle,
    straight lines on the ground are straight lines (s, w): the near side is the upper hull.
    """
    turned = bearing - (bearing[0] + bearing[-1]) / 2
    cosine = np.cos(turned)
    if cosine.min() < 0.1:
        return distance
    slope, inverse = np.tan(turned), 1 / (distance * cosine)
    points = np.column_stack([slope, inverse]).astype(np.float32)
    upper = _upper_hull(points)
    return 1 / (np.maximum(np.interp(slope, *upper.T), inverse) * cosine)


def _upper_hull(points: np.ndarray) -> np.ndarray:
    """Return the upper hull of points [N, 2] of ascending x, from the first to the last."""
    # Two points far below close the hull: what is left of it is the upper side.
    floor = points[:, 1].min() - 1
    ends = np.array([[points[-1, 0], floor], [points[0, 0], floor]], np.float32)
    hull = cv2.convexHull(np.concatenate([points, ends]))[:, 0]
    hull = hull[hull[:, 1] > floor]
    return hull[np.argsort(hull[:, 0])]
