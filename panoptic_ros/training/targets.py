"""Training targets from an image of Cityscapes instance ids.

Values below 1000 are classes (stuff, or a group of things too dense to tell apart), from
1000 on class_id * 1000 + n, one per instance (`gtFine_instanceIds`).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids

IGNORE = 255


def semantic_target(instance_ids: np.ndarray, labels: LabelSet) -> Tensor:
    """Return the channel of each pixel, int64 [H, W]; 255 where the class is none of the set.

    instance_ids: integer [H, W]. Groups count as their class.
    """
    table = np.full(int(labels.ids.max()) + 2, IGNORE, np.uint8)
    table[labels.ids] = np.arange(len(labels))
    ids = class_ids(instance_ids)
    outside = (ids < 0) | (ids >= len(table))
    return torch.from_numpy(table[np.where(outside, len(table) - 1, ids)].astype(np.int64))


def instance_target(instance_ids: np.ndarray, labels: LabelSet, min_area: int) -> dict[str, Tensor]:
    """Return the targets that torchvision's Mask R-CNN trains on.

    boxes: float [N, 4] xyxy; labels: int64 [N], 1.. in the order of the set's thing classes
    (0 is the background); masks: uint8 [N, H, W]. Instances of fewer than min_area pixels
    and groups are left out.
    """
    number = {c.id: i + 1 for i, c in enumerate(labels.things)}
    values, areas = np.unique(instance_ids, return_counts=True)
    kept = [
        int(v)
        for v, area in zip(values, areas, strict=True)
        if v >= INSTANCE_DIVISOR and v // INSTANCE_DIVISOR in number and area >= min_area
    ]
    masks = (instance_ids == np.array(kept, instance_ids.dtype)[:, None, None]).astype(np.uint8)
    # Pixel i covers [i, i + 1): the box ends after the last one.
    boxes = np.array([cv2.boundingRect(mask) for mask in masks], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return {
        "boxes": torch.from_numpy(boxes),
        "labels": torch.tensor([number[v // INSTANCE_DIVISOR] for v in kept], dtype=torch.int64),
        "masks": torch.from_numpy(masks),
    }
