"""Outlines of things on the ground, where the lower edge of a mask is not all contact."""

from __future__ import annotations

import math
from itertools import pairwise

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
# Radians: an instance that is seen over more has no outline that is convex towards the camera.
_WIDEST = 2 * math.acos(0.1)


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
        lines_of = lines_by_value(value)
        is_body = np.zeros(len(distance), bool)
        carried, outlined, factors = [], [], []
        for instance, lines in lines_of.items():
            class_id = instance // INSTANCE_DIVISOR
            if class_id in self._carriers:
                carried.append((class_id, lines))
            elif class_id in self._upright:
                distance[lines] = distance[lines].min()
            elif instance >= INSTANCE_DIVISOR and self._is_side(lines):
                outlined.append(lines)
                factors.append(self._body.get(class_id, 1.0))
        if outlined:
            lines = np.concatenate(outlined)
            counts = [len(own) for own in outlined]
            distance[lines] = _outlines(self._bearings[lines], distance[lines], counts, factors)
            is_body[lines] = True
        for class_id, lines in carried:
            distance[lines] = self._carrier(class_id, lines, distance, value)
        for instance, lines in lines_of.items():
            if reach := self._reach.get(instance // INSTANCE_DIVISOR):
                distance[lines] = np.maximum(distance[lines] - reach, 0)
        return is_body

    def _is_side(self, lines: np.ndarray) -> bool:
        """Return whether lines show one side of a thing: some, and not all around the camera."""
        spread = self._bearings[lines[-1]] - self._bearings[lines[0]]
        return len(lines) >= _FEWEST and bool(spread < _WIDEST)

    def _carrier(
        self, class_id: int, lines: np.ndarray, distance: np.ndarray, value: np.ndarray
    ) -> float:
        """Return the distance of what carries the instance on these lines, or its own."""
        around = slice(max(lines[0] - _BESIDE, 0), lines[-1] + _BESIDE + 1)
        carriers = np.array(self._carriers[class_id], value.dtype)
        carries = (value[around, None] // INSTANCE_DIVISOR == carriers).any(axis=1)
        return float(distance[around][carries].min() if carries.any() else distance[lines].min())


def lines_by_value(value: np.ndarray) -> dict[int, np.ndarray]:
    """Return the lines of each value of the contacts [C], ascending."""
    order = np.argsort(value, kind="stable")
    ordered = value[order]
    starts = [0, *(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist(), len(order)]
    return {int(ordered[start]): order[start:end] for start, end in pairwise(starts)}


def _outlines(
    bearing: np.ndarray, distance: np.ndarray, counts: list[int], bodies: list[float]
) -> np.ndarray:
    """Return the distance of the outlines at each bearing, both [N], instance after instance.

    counts: lines of each instance; bodies: factor of its distance for lines on which the body's
    lower edge is seen. All at once: NumPy's calls cost more than what they do for one instance.

    With s = tan(bearing) and w = 1 / (distance * cos(bearing)), bearings from their middle,
    straight lines on the ground are straight lines (s, w): the outline is the upper hull.
    """
    ends = np.cumsum(counts)
    starts = ends - counts
    turned = bearing - np.repeat((bearing[starts] + bearing[ends - 1]) / 2, counts)
    cosine = np.cos(turned)
    slope, inverse = np.tan(turned), 1 / (distance * cosine)
    touching = _upper_hulls(slope, inverse, counts)
    # In the air: clearly behind the line between what touches the ground.
    in_air = inverse < touching * (1 + np.repeat(bodies, counts)) / 2
    raised = False
    for start, end, body in zip(starts.tolist(), ends.tolist(), bodies, strict=True):
        own = slice(start, end)
        if body < 1 and in_air[own].any():
            # Beside a wheel the edge rises from the ground to the body: that is neither.
            width = float(distance[own].min() * np.ptp(bearing[own]))
            rise = 2 * round(_RISE / width * (end - start)) + 1
            beside = cv2.erode(in_air[own].astype(np.uint8)[None], np.ones((1, rise)))[0]
            inverse[own] = np.where(beside, inverse[own] / body, inverse[own])
            raised = True
    if raised:
        touching = _upper_hulls(slope, inverse, counts)
    return 1 / (touching * cosine)


def _upper_hulls(x: np.ndarray, y: np.ndarray, counts: list[int]) -> np.ndarray:
    """Return the y of upper hulls at x, [N], each one that of as many points as its count says.

    x: ascending within a hull.
    """
    ends = np.cumsum(counts)
    starts = ends - counts
    points = np.column_stack([x, y]).astype(np.float32)[:, None]
    is_corner = np.zeros(len(x), bool)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        is_corner[start + cv2.convexHull(points[start:end], returnPoints=False)[:, 0]] = True
    # A hull's upper side runs from its first to its last point, above the line between them.
    slopes = (y[ends - 1] - y[starts]) / (x[ends - 1] - x[starts])
    is_corner &= y > _lines(x, x[starts], y[starts], slopes, counts)
    is_corner[starts] = is_corner[ends - 1] = True
    corners = np.flatnonzero(is_corner)
    # The side that begins at a hull's last point has no other point: its slope plays no part.
    slopes = np.append(np.diff(y[corners]) / np.diff(x[corners]), 0.0)
    return _lines(x, x[corners], y[corners], slopes, np.diff(corners, append=len(x)))


def _lines(
    x: np.ndarray,
    x0: np.ndarray,
    y0: np.ndarray,
    slopes: np.ndarray,
    counts: np.ndarray | list[int],
) -> np.ndarray:
    """Return y at x of lines through (x0, y0), one after another for as many x as counts says."""
    slopes, x0, y0 = (np.repeat(v, counts) for v in (slopes, x0, y0))
    return slopes * (x - x0) + y0
