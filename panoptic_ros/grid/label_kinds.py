"""What each value of a label image means for the ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from panoptic_ros.grid.grid_options import ProjectionOptions
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet

# Names of common label sets (Cityscapes, Mapillary, KITTI-360); a label set has some of them.
_GROUND = ("road", "sidewalk", "terrain", "parking", "rail track", "ground", "lane marking")
_OVERHEAD = ("sky", "traffic light", "traffic sign")
# European kerbs are 0.10 to 0.15 m high; what lies beside the carriageway is level with them.
_HEIGHTS = {"sidewalk": 0.12, "terrain": 0.12}
# With a camera lower than this, metres, a robot drives on the pavement.
_LOWEST_ON_ROAD = 0.5
# Riders, and the classes that carry them.
_CARRIED = {"rider": ("bicycle", "motorcycle")}
# Kinds of a label: neither, ground at heights[kind - 1], obstacle.
NEITHER, OBSTACLE = 0, 255


class LabelKinds:
    """Look values of a label image up: their class and whether it is ground or an obstacle.

    heights: metres above the plane at which ground classes lie, ascending; kinds: uint8, by
    value: NEITHER (unlabeled, overhead), k + 1 for ground at heights[k], OBSTACLE; classes:
    uint8, label id by value. Look up with `take(..., mode="clip")`: values that the label set
    does not know are NEITHER. Raise ValueError for a name that the label set does not have and
    for ground as high as the camera (camera_height: metres above the plane).
    """

    def __init__(self, labels: LabelSet, options: ProjectionOptions, camera_height: float) -> None:
        if labels.ids.max() > 255:
            raise ValueError(
                f"label set {labels.name!r} has class id {labels.ids.max()}; grids hold 0..255"
            )
        ground = _ids(labels, options.ground, _GROUND, "ground")
        overhead = _ids(labels, options.overhead, _OVERHEAD, "overhead")
        if not ground:
            raise ValueError(
                f"no class of label set {labels.name!r} is known as ground; "
                f"name some of {sorted(labels.by_name)} in `ground`"
            )
        if both := ground & overhead:
            raise ValueError(f"classes {[labels[i].name for i in both]} are ground and overhead")
        by_name = options.ground_heights
        if by_name is None:
            by_name = _HEIGHTS if camera_height >= _LOWEST_ON_ROAD else {}
        else:
            _ids(labels, tuple(by_name), (), "ground_heights")
        if bad := {name: h for name, h in by_name.items() if not h < camera_height / 2}:
            raise ValueError(
                f"ground_heights {bad} must be below half the camera's height, "
                f"{camera_height:.2f} m"
            )
        height_of = {i: float(by_name.get(labels[i].name, 0.0)) for i in ground}
        self.heights = tuple(sorted(set(height_of.values())))
        size = (int(labels.ids.max()) + 1) * INSTANCE_DIVISOR
        # One more: the last entry stands for every value beyond.
        self.classes = np.zeros(size + 1, np.uint8)
        self.kinds = np.full(size + 1, NEITHER, np.uint8)
        for entry in labels.classes:
            kind = OBSTACLE
            if entry.id in ground:
                kind = self.heights.index(height_of[entry.id]) + 1
            elif entry.id in overhead:
                kind = NEITHER
            first = entry.id * INSTANCE_DIVISOR
            for values in (slice(entry.id, entry.id + 1), slice(first, first + INSTANCE_DIVISOR)):
                self.classes[values] = entry.id
                self.kinds[values] = kind


def _ids(
    labels: LabelSet, names: Sequence[str] | None, usual: Sequence[str], option: str
) -> set[int]:
    if names is None:
        return {labels.by_name[name].id for name in usual if name in labels.by_name}
    if missing := [name for name in names if name not in labels.by_name]:
        raise ValueError(
            f"{option} names {missing}, which label set {labels.name!r} does not have; "
            f"it has {sorted(labels.by_name)}"
        )
    return {labels.by_name[name].id for name in names}


def carriers_of(labels: LabelSet) -> dict[int, list[int]]:
    """Return the classes that are carried and those that carry them, by label id."""
    ids = {name: entry.id for name, entry in labels.by_name.items()}
    return {
        ids[name]: [ids[carrier] for carrier in carriers if carrier in ids]
        for name, carriers in _CARRIED.items()
        if name in ids
    }
