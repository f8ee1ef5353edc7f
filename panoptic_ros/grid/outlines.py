"""Outlines of things on the ground, where the lower edge of a mask is not all contact."""

from __future__ import annotations

import cv2
import numpy as np

from panoptic_ros.grid.label_kinds import carriers_of
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet

# Classes that stand on a spot: hands, bags and coats reach out of it, in the air.
_UPRIGHT = ("person",)
# Height of the body above the ground between and beyond the wheels, metres: bumpers, skirts.
_UNDERBODY = {"car": 0.22, "truck": 0.35, "bus": 0.3, "train": 0.2}
# A wheel touches the ground below its axle: rim and handlebars reach out before it, metres.
_REACH = {"bicycle": 0.25, "motorcycle": 0.25}
# Width over which a wheel's edge rises to the body's, metres.
_RISE = 0.07
# Lines that a carrier may lie beside the lines on which only the rider is seen.
_BESIDE = 3
# An instance seen on fewer lines than this has no usable outline.
_FEWEST = 5


class Outlines:
    """Correct the contacts of things, instance by instance.

    A mask's lower edge is in the air between wheels and feet, and is then seen against ground
    that lies further away: the contact found there is too far. Whatever touches the ground
    (or nearly does) holds the outline, which is convex towards the camera.
    """

    def __init__(self, labels: LabelSet, bearings: np.ndarray, camera_height: float) -> None:
        """Take the lines' bearings [C], radians, ascending, and the camera's height, metres."""
        ids = {name: entry.id for name, entry in labels.by_name.items()}
        self._bearings = bearings
        self._upright = {ids[name] for name in _UPRIGHT if name in ids}
        self._carriers = carriers_of(labels)
        self._reach = {ids[name]: reach for name, reach in _REACH.items() if name in ids}
        # A sight line meets a body's lower edge before it meets the ground behind it.
        self._body = {
            ids[name]: 1 - height / camera_height
            for name, height in _UNDERBODY.items()
            if name in ids and height < camera_height / 2
        }

    def straighten(self, distance: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Correct the distances [C] of the lines' contacts, in place.

        value: int [C], the label image's value at the contact, 0 where there is none.
        Return where ground that shows between outline and mask is below a body, bool [C].
        """
        order = np.argsort(value, kind="stable")
        ids, starts = np.unique(value[order], return_index=True)
        lines_of = dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=True))
        is_body = np.zeros(len(distance), bool)
        carried = []
        for instance, lines in lines_of.items():
            class_id = instance // INSTANCE_DIVISOR
            if class_id in self._carriers:
                carried.append((class_id, lines))
            elif class_id in self._upright:
                distance[lines] = distance[lines].min()
            elif instance >= INSTANCE_DIVISOR and len(lines) >= _FEWEST:
                factor = self._body.get(class_id, 1.0)
                distance[lines] = _outline(self._bearings[lines], distance[lines], factor)
                is_body[lines] = True
        for class_id, lines in carried:
            distance[lines] = self._carrier(class_id, lines, distance, value)
        for instance, lines in lines_of.items():
            reach = self._reach.get(instance // INSTANCE_DIVISOR, 0.0)
            distance[lines] = np.maximum(distance[lines] - reach, 0)
        return is_body

    def _carrier(
        self, class_id: int, lines: np.ndarray, distance: np.ndarray, value: np.ndarray
    ) -> float:
        """Return the distance of what carries the instance on these lines, or its own."""
        around = slice(max(lines[0] - _BESIDE, 0), lines[-1] + _BESIDE + 1)
        carries = np.isin(value[around] // INSTANCE_DIVISOR, self._carriers[class_id])
        return float(distance[around][carries].min() if carries.any() else distance[lines].min())


def _outline(bearing: np.ndarray, distance: np.ndarray, body: float) -> np.ndarray:
    """Return the distance of the outline at each bearing, both [N].

    body: factor of the distance for lines on which the body's lower edge is seen.

    With s = tan(bearing) and w = 1 / (distance * cos(bearing)), bearings from their middle,
    straight lines on the ground are straight lines (s, w): the outline is the upper hull.
    """
    turned = bearing - (bearing[0] + bearing[-1]) / 2
    cosine = np.cos(turned)
    if cosine.min() < 0.1:
        return distance
    slope, inverse = np.tan(turned), 1 / (distance * cosine)
    touching = np.interp(slope, *_upper_hull(slope, inverse))
    # In the air: clearly behind the line between what touches the ground.
    in_air = inverse < touching * (1 + body) / 2
    if in_air.any():
        # Beside a wheel the edge rises from the ground to the body: that is neither.
        rise = 2 * round(_RISE / float(distance.min() * np.ptp(bearing)) * len(bearing)) + 1
        beside = cv2.erode(in_air.astype(np.uint8)[None], np.ones((1, rise)))[0]
        inverse = np.where(beside, inverse / body, inverse)
        touching = np.interp(slope, *_upper_hull(slope, inverse))
    return 1 / (touching * cosine)


def _upper_hull(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of the upper hull of points of ascending x, first to last."""
    # Two points far below close the hull: what is left of it is the upper side.
    points = np.empty((len(x) + 2, 1, 2), np.float32)
    points[:-2, 0, 0], points[-2:, 0, 0] = x, x[[-1, 0]]
    points[:-2, 0, 1], points[-2:, 0, 1] = y, y.min() - 1
    corners = cv2.convexHull(points, returnPoints=False)[:, 0]
    upper = np.sort(corners[corners < len(x)])
    return x[upper], y[upper]
