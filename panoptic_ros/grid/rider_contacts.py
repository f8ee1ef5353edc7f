"""Riders, whose feet are off the ground: they are where what carries them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import Segment

# Classes that are carried, and what carries them.
_CARRIED = {"rider": ("bicycle", "motorcycle")}


def carriers_of(labels: LabelSet) -> dict[int, list[int]]:
    """Return the classes that are carried and those that carry them, by label id."""
    ids = {name: entry.id for name, entry in labels.by_name.items()}
    return {
        ids[name]: [ids[carrier] for carrier in carriers if carrier in ids]
        for name, carriers in _CARRIED.items()
        if name in ids
    }


class Riders:
    """Place riders of whom no line of sight meets the contact: their bicycle is before it."""

    def __init__(self, view: Viewpoint, labels: LabelSet) -> None:
        self._view = view
        self._carriers = carriers_of(labels)

    def place(
        self, segments: Sequence[Segment], placed: Sequence[GroundInstance]
    ) -> list[GroundInstance]:
        """Return the riders among the segments that are not placed yet, where they can be.

        A rider belongs to the carrier in the nearest direction, within the rider's box.
        """
        done = {instance.id for instance in placed}
        riders = []
        for segment in segments:
            if segment.class_id not in self._carriers or segment.id in done:
                continue
            carriers = [i for i in placed if i.class_id in self._carriers[segment.class_id]]
            if segment.is_thing and carriers:
                riders += self._on(segment, carriers)
        return riders

    def _on(self, segment: Segment, carriers: Sequence[GroundInstance]) -> list[GroundInstance]:
        x0, _, x1, y1 = segment.box
        edges = self._bearings([[x0, y1], [(x0 + x1) / 2, y1], [x1, y1]])
        positions = np.array([carrier.position for carrier in carriers])
        distance, bearing = self._view.polar(positions)
        aside = np.abs(bearing - edges[1])
        nearest = int(aside.argmin())
        if aside[nearest] > np.ptp(edges) / 2:
            return []
        width = float(distance[nearest] * np.ptp(edges))
        return [replace(carriers[nearest], id=segment.id, class_id=segment.class_id, width=width)]

    def _bearings(self, pixels: Sequence[Sequence[float]]) -> np.ndarray:
        rays = self._view.rays(np.array(pixels, float))
        return self._view.polar(rays[:, :2] + self._view.position[:2])[1]
