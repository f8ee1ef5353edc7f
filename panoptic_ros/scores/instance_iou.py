"""IoU of detected instances with their ground truth, strategy against strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.scores.matching import BoxMask, match


class InstanceIoU:
    """Add up, per thing class and strategy, the mask IoU of the detected instances.

    What is compared is the mask that a strategy gives a detection, before masks compete for
    pixels: the merge rules are the same for all, and what they do to the image is measured
    by panoptic quality. Every strategy is measured on the same detections and the same
    ground-truth instances, those that `scores.matching.match` pairs: by falling score,
    each detection takes the free instance of its class that the detector's own mask
    overlaps most, if IoU > 0.5. So the choice of instances does not depend on a head, and its
    effect on bad detections counts. Groups of things have no instances.
    Source: Table 1 of Inria report RT-0506.

    sums: strategy name -> float64 [T], sum of IoU; instances: int64 [T]; in the order of the
    label set's thing classes.
    """

    def __init__(self, labels: LabelSet, strategies: Sequence[str]) -> None:
        self.classes = labels.things
        self.sums = {name: np.zeros(len(self.classes)) for name in strategies}
        self.instances = np.zeros(len(self.classes), np.int64)
        self._row = {c.id: i for i, c in enumerate(self.classes)}

    def add(
        self,
        truth: np.ndarray,
        class_ids: Sequence[int],
        detected: Sequence[BoxMask],
        masks: Mapping[str, Sequence[BoxMask]],
    ) -> None:
        """Count one frame.

        truth: integer [H, W], `gtFine_instanceIds`; class_ids, detected: class and the
        detector's own mask of each detection, best first; masks: strategy name -> the mask
        that it gives each detection, in their order.
        """
        for pair in match(class_ids, detected, truth):
            row = self._row[pair.value // INSTANCE_DIVISOR]
            instance = truth == pair.value
            self.instances[row] += 1
            for name, found in masks.items():
                self.sums[name][row] += mask_iou(found[pair.detection], instance)


def mask_iou(found: BoxMask, truth: np.ndarray) -> float:
    """Return the IoU, 0..1, of a mask known inside its box with one of the whole image.

    truth: bool [H, W]. What lies outside the box counts as not in the mask.
    """
    (x0, y0, x1, y1), mask = found
    common = np.count_nonzero(mask & truth[y0:y1, x0:x1])
    union = np.count_nonzero(mask) + np.count_nonzero(truth) - common
    return common / union if union else 0.0
