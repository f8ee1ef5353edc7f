"""Crowns of trees: foliage in the air beside the trunk that carries it."""

from __future__ import annotations

import numpy as np

from panoptic_ros.labels import LabelSet

_FOLIAGE = "vegetation"
# An edge that lies this many times further away than its neighbour's does not belong to it: at
# a camera height of 1.5 m, what hangs 0.3 m or more above the ground.
_JUMP = 1.25
# Farthest that a crown reaches from its trunk, metres.
_REACH = 3.0


class Foliage:
    """Find the lines of sight on which a crown's lower edge was taken for a contact.

    Trunk and crown are one mask. Its edge runs along the ground at the trunk and leaps away
    beside it, where the crown's edge is in the air and seen against ground behind. Plants that
    stand behind another within its reach are lost with it: they are unknown, not free.
    """

    def __init__(self, labels: LabelSet, step: float) -> None:
        """Take the angle between lines, radians."""
        entry = labels.by_name.get(_FOLIAGE)
        self._class_id = None if entry is None else entry.id
        self._step = step

    def overhang(self, distance: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Return the lines to leave out, bool [C], of contacts' distances and values [C]."""
        out = np.zeros(len(distance), bool)
        if self._class_id is None:
            return out
        is_foliage = value == self._class_id
        both = is_foliage[1:] & is_foliage[:-1]
        left, right = distance[:-1], distance[1:]
        for line in np.flatnonzero(both & (right > _JUMP * left)):
            self._leave_out(out, distance, is_foliage, line, 1)
        for line in np.flatnonzero(both & (left > _JUMP * right)) + 1:
            self._leave_out(out, distance, is_foliage, line, -1)
        return out

    def _leave_out(
        self,
        out: np.ndarray,
        distance: np.ndarray,
        is_foliage: np.ndarray,
        trunk: int,
        direction: int,
    ) -> None:
        """Mark the lines beside a trunk's outermost one, in place."""
        reach = int(_REACH / (distance[trunk] * self._step))
        beside = trunk + direction * np.arange(1, reach + 1)
        beside = beside[(beside >= 0) & (beside < len(distance))]
        crown = is_foliage[beside] & (distance[beside] > _JUMP * distance[trunk])
        ends = np.flatnonzero(~crown)
        out[beside[: ends[0] if len(ends) else None]] = True
