"""Instances on the ground, from the contacts of their masks."""

from __future__ import annotations

import numpy as np

from panoptic_ros.grid.contacts import Contacts
from panoptic_ros.grid.ground_plane import Viewpoint
from panoptic_ros.grid.lookup import SightLines
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import INSTANCE_DIVISOR


def place_instances(
    contacts: Contacts,
    lines: SightLines,
    view: Viewpoint,
    range_sigma: np.ndarray,
    bearing_sigma: float,
) -> list[GroundInstance]:
    """Return the instances that some line of sight meets first, by id.

    The position is the contact on the middle one of the lines; the width spans the outer ones.
    range_sigma: float [C], standard deviation of each contact's distance, metres;
    bearing_sigma: of its bearing, radians.
    """
    order = np.argsort(contacts.value, kind="stable")
    ids, starts = np.unique(contacts.value[order], return_index=True)
    spacing = lines.step
    placed = []
    for value, on in zip(ids.tolist(), np.split(order, starts[1:]), strict=True):
        if value < INSTANCE_DIVISOR:
            continue
        middle = on[len(on) // 2]
        distance, bearing = contacts.distance[middle], lines.bearings[middle]
        x, y = view.at(distance, bearing)
        across = distance * max(bearing_sigma, spacing / np.sqrt(12))
        placed.append(
            GroundInstance(
                id=value,
                class_id=value // INSTANCE_DIVISOR,
                position=(float(x), float(y)),
                width=float(distance * (np.ptp(lines.bearings[on]) + spacing)),
                covariance=_turned(range_sigma[middle], across, bearing + view.heading),
            )
        )
    return placed


def _turned(along: float, across: float, angle: float) -> np.ndarray:
    """Return the covariance of standard deviations along and across a direction, [2, 2]."""
    c, s = np.cos(angle), np.sin(angle)
    axes = np.array([[c, -s], [s, c]]) * [along, across]
    return axes @ axes.T
