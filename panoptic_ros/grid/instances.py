"""Instances on the ground, from the contacts of their masks; riders where their cycle stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.grid.contacts import Contacts
from panoptic_ros.grid.lookup import SightLines
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.prediction import Segment


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
    ids, starts, counts = np.unique(contacts.value[order], return_index=True, return_counts=True)
    thing = ids >= INSTANCE_DIVISOR
    ids, starts, counts = ids[thing], starts[thing], counts[thing]
    first, middle, last = (order[starts + n] for n in (counts * 0, counts // 2, counts - 1))
    distance, bearing = contacts.distance[middle], lines.bearings[middle]
    width = distance * ((last - first + 1) * lines.step)
    # Lines are a step apart: a bearing is known to within that.
    across = distance * max(bearing_sigma, lines.step / np.sqrt(12))
    covariances = _turned(range_sigma[middle], across, bearing + view.heading)
    places = view.at(distance, bearing)
    elevations = view.plane.z(places[:, 0], places[:, 1])
    return [
        GroundInstance(value, value // INSTANCE_DIVISOR, (x, y), metres, covariance, z)
        for value, (x, y), metres, covariance, z in zip(
            ids.tolist(),
            places.tolist(),
            width.tolist(),
            covariances,
            elevations.tolist(),
            strict=True,
        )
    ]


def _turned(along: np.ndarray, across: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return covariances of standard deviations [N] along and across a direction, [N, 2, 2]."""
    c, s = np.cos(angle), np.sin(angle)
    axes = np.array([[c * along, -s * across], [s * along, c * across]]).transpose(2, 0, 1)
    return axes @ axes.transpose(0, 2, 1)


def place_riders(
    segments: Sequence[Segment],
    placed: Sequence[GroundInstance],
    view: Viewpoint,
    carriers_of: Mapping[int, Sequence[int]],
) -> list[GroundInstance]:
    """Return the riders whose contact with the ground their bicycle or motorcycle hides.

    Of the segments, those that are not placed yet and can be: a rider belongs to the carrier in
    the nearest direction, within the rider's box. carriers_of: see `label_kinds.carriers_of`.
    """
    done = {instance.id for instance in placed}
    riders = []
    for segment in segments:
        if segment.class_id not in carriers_of or segment.id in done:
            continue
        carriers = [i for i in placed if i.class_id in carriers_of[segment.class_id]]
        if segment.is_thing and carriers:
            riders += _on(segment, carriers, view)
    return riders


def _on(
    segment: Segment, carriers: Sequence[GroundInstance], view: Viewpoint
) -> list[GroundInstance]:
    x0, _, x1, y1 = segment.box
    rays = view.rays(np.array([[x0, y1], [(x0 + x1) / 2, y1], [x1, y1]], float))
    edges = view.polar(rays[:, :2] + view.position[:2])[1]
    distance, bearing = view.polar(np.array([carrier.position for carrier in carriers]))
    aside = np.abs(bearing - edges[1])
    nearest = int(aside.argmin())
    if aside[nearest] > np.ptp(edges) / 2:
        return []
    width = float(distance[nearest] * np.ptp(edges))
    return [replace(carriers[nearest], id=segment.id, class_id=segment.class_id, width=width)]
