"""Leave instances that are too small to outline to their class's group."""

from __future__ import annotations

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, class_ids

# 40 pixels of 512 x 1024. Cityscapes' instance benchmark leaves out what is under 100 pixels
# of 1024 x 2048, and its annotators outline what they cannot tell apart as a group.
LEAST_SHARE = 40 / (512 * 1024)


def group_small_instances(labels: np.ndarray) -> np.ndarray:
    """Return a label image whose instances of too few visible pixels carry their class id.

    labels: uint16 [H, W], class ids, and class_id * 1000 + n for instances. An instance is
    too small below LEAST_SHARE of the image; where more of it is seen, it keeps its id.
    """
    areas = np.bincount(labels.ravel())
    values = np.arange(len(areas), dtype=labels.dtype)
    small = (values >= INSTANCE_DIVISOR) & (areas < LEAST_SHARE * labels.size)
    return np.where(small, class_ids(values), values)[labels]
