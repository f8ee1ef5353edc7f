"""Where obstacles stand: the nearest contact with the ground along every line of sight."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.grid.label_kinds import NEITHER, OBSTACLE
from panoptic_ros.grid.lookup import SightLines
from panoptic_ros.grid.outlines import Outlines
from panoptic_ros.labels import LabelSet

# Neighbours of one class whose distances differ by a larger factor belong to two obstacles.
_SAME_FACE = 1.1
_FOLIAGE = "vegetation"
# An edge that lies this many times further away than its neighbour's does not belong to it: at
# a camera height of 1.5 m, what hangs 0.3 m or more above the ground.
_JUMP = 1.25
# Rows of unlabeled pixels that a network may leave between ground and mask, as a share of the
# picture's, and the samples of a line that are searched for each of them.
_SEAM, _SEAM_SAMPLES = 1 / 128, 3
# Farthest that a crown reaches from its trunk, metres.
_REACH = 3.0


@dataclass(frozen=True)
class Contacts:
    """Hold the obstacle that each of C lines of sight meets first.

    distance: float [C], metres from the camera's foot, inf where nothing is placed; value:
    int [C], its value in the label image, 0 where none is known; blocked: float [2, C], from
    and to which distance it hides the ground, inf where it does not.
    """

    distance: np.ndarray
    value: np.ndarray
    blocked: np.ndarray


class ContactEdges:
    """Find the lower contact edge of masks in a label image, line by line.

    An obstacle is placed where a line runs from ground into its mask. One that begins at the
    picture's lower edge (or the bonnet) has its contact out of sight, one that begins above
    another thing's mask or a sign has it hidden, a tree's crown has none: none is placed. A seam
    of a few unlabeled pixels between ground and mask belongs to the obstacle.
    Ground under a vehicle counts as hidden, ground that shows above an obstacle does not.
    """

    def __init__(
        self, lines: SightLines, view: Viewpoint, labels: LabelSet, heights: tuple[float, ...]
    ) -> None:
        """Take the lines of a view, their index of the pixels that are read; heights: of ground."""
        self._lines = lines
        self._seam_rows = round(_SEAM * view.camera.size[0])
        self._outlines = Outlines(labels, lines.bearings, view.height)
        self._foliage = Foliage(labels, lines.step)
        self._columns = np.arange(len(lines.bearings))
        self._samples = np.arange(len(lines.distances), dtype=np.int32)
        # A sight line meets ground at height h before it meets the plane below it.
        self._nearer = np.ones(OBSTACLE + 1)
        self._nearer[1 : len(heights) + 1] = 1 - np.array(heights) / view.height

    def __call__(self, values: np.ndarray, kinds: np.ndarray) -> Contacts:
        """Return the contacts of a label image.

        values, kinds (uint8): of the pixels that are read, [P].
        """
        seen = cv2.multiply(kinds.take(self._lines.index), self._lines.seen)
        # One line after another from here on: a search then ends where it finds something.
        kinds = cv2.transpose(seen)
        obstacle = kinds == OBSTACLE
        ground = (kinds != OBSTACLE) & (kinds != NEITHER)
        meets = obstacle[:, 1:] & ground[:, :-1]
        sample = meets.argmax(axis=1)
        found = meets[self._columns, sample]
        value = self._at(values, sample + 1)
        first, under = self._seam(obstacle, ground, values)
        seam = (under >= 0) & ~(found & (sample < under))
        sample, found = np.where(seam, under, sample), found | seam
        value = np.where(seam, self._at(values, first), value)
        # What begins at the picture's edge is not placed by where it shows ground beneath it.
        begins = self._at(values, self._lines.first)
        cut = obstacle[self._columns, self._lines.first] & (begins == value)
        found &= ~cut
        below = kinds[self._columns, sample]
        edge = np.where(found, self._edge(sample) * self._nearer[below], np.inf)
        outline, value = edge.copy(), np.where(found, value, 0)
        hangs = self._foliage.overhang(outline, value)
        outline[hangs], value[hangs] = np.inf, 0
        is_body = self._outlines.straighten(outline, value)
        blocked = np.stack([np.where(is_body, outline, edge), self._reappears(ground, sample)])
        return Contacts(outline, value, blocked)

    def _at(self, values: np.ndarray, sample: np.ndarray) -> np.ndarray:
        """Return the value of each line's pixel at a sample [C]."""
        return values.take(self._lines.index[sample, self._columns])

    def _seam(
        self, obstacle: np.ndarray, ground: np.ndarray, values: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return each line's first obstacle [C], and the ground under its seam, -1 without one."""
        rows = self._seam_rows
        first = obstacle.argmax(axis=1)
        under = np.full(len(first), -1)
        within = obstacle[self._columns, first]
        top = self._lines.rows[first, self._columns]
        for sample in (first - back for back in range(1, _SEAM_SAMPLES * rows + 1)):
            row, above = (self._lines.rows[s, self._columns] for s in (sample, sample + 1))
            # Its ends lie anywhere between two samples.
            reach = rows + 2 * np.abs(row - above)
            within &= (sample >= 0) & (np.abs(row - top) <= reach)
            under = np.where(within & ground[self._columns, sample], sample, under)
            within &= (self._at(values, sample) == 0) & ~ground[self._columns, sample]
            if not within.any():
                break
        return first, under

    def _reappears(self, ground: np.ndarray, sample: np.ndarray) -> np.ndarray:
        """Return the distance at which each line shows ground again after a sample [C]."""
        later = ground & (self._samples > sample.astype(np.int32)[:, None])
        again = later.argmax(axis=1)
        return np.where(later[self._columns, again], self._lines.distances[again], np.inf)

    def _edge(self, sample: np.ndarray) -> np.ndarray:
        """Return the distance at which each line enters the pixel after a sample [C], metres."""
        here, there = (self._lines.rows[s, self._columns] for s in (sample, sample + 1))
        border = (np.rint(here) + np.rint(there)) / 2
        moved = there - here
        share = np.divide(border - here, moved, out=np.full(len(here), 0.5), where=moved != 0)
        near, far = self._lines.distances[sample], self._lines.distances[sample + 1]
        return near + np.clip(share, 0, 1) * (far - near)


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
        for line in np.flatnonzero(both & (right > _JUMP * left)).tolist():
            self._leave_out(out, distance, is_foliage, line, 1)
        for line in np.flatnonzero(both & (left > _JUMP * right)).tolist():
            self._leave_out(out, distance, is_foliage, line + 1, -1)
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


def trace_faces(
    xy: np.ndarray, distance: np.ndarray, value: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return points along the faces of obstacles at most `spacing` metres apart.

    xy: float [C, 2], each line's contact; distance: float [C], inf where there is none; value:
    int [C], in the label image. A wall seen at a small angle meets the lines at long intervals:
    what lies between two contacts of one thing is its face.
    Return points float [P, 2] and the lines that they come from, intp [P].
    """
    placed = np.flatnonzero(np.isfinite(distance))
    if not len(placed):
        return np.zeros((0, 2)), placed
    after = np.minimum(placed + 1, len(distance) - 1)
    here, there = distance[placed], distance[after]
    joined = (value[placed] == value[after]) & (
        np.maximum(here, there) <= _SAME_FACE * np.minimum(here, there)
    )
    step = np.where(joined[:, None], xy[after] - xy[placed], 0.0)
    counts = np.maximum(np.ceil(np.hypot(step[:, 0], step[:, 1]) / spacing), 1).astype(np.intp)
    of = np.repeat(np.arange(len(placed)), counts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    points = xy[placed[of]] + step[of] * (number / counts[of])[:, None]
    return points, placed[of]
