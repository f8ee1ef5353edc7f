"""Riders by rule, for detectors that know persons and two-wheelers, but no riders (COCO's)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import InstancePrediction
from panoptic_ros.upsampling import paste

RIDEABLE = ("bicycle", "motorcycle")
# Side of the grid on which the masks of a person and a two-wheeler are compared.
GRID = 56
# Share of the smaller mask that both must cover: touching outlines are not enough.
LEAST_OVERLAP = 0.1
# By how much of the two-wheeler's height the person must end above its wheels, and begin
# above its top: a rider's feet are on pedals, those of somebody beside it on the ground.
LEAST_RISE = 0.1


def find_riders(instances: InstancePrediction, labels: LabelSet) -> InstancePrediction:
    """Return the instances with each person who is on a bicycle or motorcycle made a rider.

    On it is a person whose mask overlaps its mask from above: the two share at least a tenth
    of the smaller one, and the person's mask begins above the two-wheeler's, ends above the
    two-wheeler's lower end, and has its middle between the two-wheeler's sides.
    """
    by_name = labels.by_name
    ids = instances.class_ids.tolist()
    persons = [i for i, class_id in enumerate(ids) if class_id == by_name["person"].id]
    rideable = {by_name[name].id for name in RIDEABLE}
    two_wheelers = [i for i, class_id in enumerate(ids) if class_id in rideable]
    if not persons or not two_wheelers:
        return instances
    boxes = instances.boxes.double().cpu().numpy()
    masks = instances.masks.float().cpu()
    class_ids = instances.class_ids.clone()
    for person in persons:
        if any(
            is_on(boxes[person], masks[person], boxes[ridden], masks[ridden])
            for ridden in two_wheelers
        ):
            class_ids[person] = by_name["rider"].id
    return replace(instances, class_ids=class_ids)


def is_on(person_box: np.ndarray, person: Tensor, ridden_box: np.ndarray, ridden: Tensor) -> bool:
    """Say whether a person's mask overlaps a two-wheeler's from above (see `find_riders`).

    boxes: float [4], xyxy; masks: float [M, M], probabilities in the boxes' frames.
    """
    low = np.minimum(person_box[:2], ridden_box[:2])
    high = np.maximum(person_box[2:], ridden_box[2:])
    if np.any(
        np.minimum(person_box[2:], ridden_box[2:]) <= np.maximum(person_box[:2], ridden_box[:2])
    ):
        return False
    # Both masks on one grid over both boxes, whatever their size in the image.
    scale = GRID / (high - low)
    frame = (0, 0, GRID, GRID)
    on_grid = [
        paste(mask, (box - np.tile(low, 2)) * np.tile(scale, 2), frame) >= 0.5
        for box, mask in ((person_box, person), (ridden_box, ridden))
    ]
    areas = [int(mask.sum()) for mask in on_grid]
    shared = int((on_grid[0] & on_grid[1]).sum())
    if not min(areas) or shared < LEAST_OVERLAP * min(areas):
        return False
    left, top, right, bottom = _extent(on_grid[0])
    ridden_left, ridden_top, ridden_right, ridden_bottom = _extent(on_grid[1])
    rise = LEAST_RISE * (ridden_bottom - ridden_top)
    return (
        top <= ridden_top - rise
        and bottom <= ridden_bottom - rise
        and ridden_left <= (left + right) / 2 <= ridden_right
    )


def _extent(mask: Tensor) -> tuple[int, int, int, int]:
    """Return the tight box of a mask, xyxy, the ends exclusive."""
    y, x = torch.where(mask)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
