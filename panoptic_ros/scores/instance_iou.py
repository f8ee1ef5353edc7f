"""IoU of detected instances with their ground truth, strategy against strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from panoptic_ros.fusion.candidates import Candidates
from panoptic_ros.fusion.masks import MaskCrop
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.prediction import InstancePrediction
from panoptic_ros.scores.matching import match


class InstanceIoU:
    """Add up, per thing class and strategy, the mask IoU of the detected instances.

    What is compared is the mask that a strategy gives a detection, before masks compete for
    pixels: the merge rules are the same for all, and what they do to the image is measured
    by panoptic quality. Every strategy is measured on the same detections and the same
    ground-truth instances, those that `training.matching.match` pairs: by falling score,
    each detection takes the free instance of its class that the detector's own mask
    overlaps most, if IoU > 0.5. So the choice of instances owes nothing to a head, and what
    a head does to a bad detection counts. Groups of things have no instances.
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
        candidates: Candidates,
        masks: Mapping[str, Sequence[MaskCrop]],
    ) -> None:
        """Count one frame.

        truth: integer [H, W], `gtFine_instanceIds`; masks: strategy name -> one boolean mask
        per candidate, in their order.
        """
        detections = InstancePrediction(
            torch.from_numpy(candidates.boxes),
            torch.from_numpy(candidates.class_ids),
            torch.from_numpy(candidates.scores),
            candidates.masks,
        )
        for pair in match(detections, truth):
            row = self._row[pair.value // INSTANCE_DIVISOR]
            instance = truth == pair.value
            self.instances[row] += 1
            for name, crops in masks.items():
                self.sums[name][row] += mask_iou(crops[pair.detection], instance)

    def means(self, name: str) -> np.ndarray:
        """Return a strategy's mean IoU per class, float64 [T], 0..1; NaN without instances."""
        empty = np.full(len(self.classes), np.nan)
        return np.divide(self.sums[name], self.instances, out=empty, where=self.instances > 0)


def mask_iou(crop: MaskCrop, truth: np.ndarray) -> float:
    """Return the IoU, 0..1, of a mask known inside its box with one of the whole image.

    truth: bool [H, W]. What lies outside the crop's box counts as not in its mask.
    """
    x0, y0, x1, y1 = crop.box
    mask = crop.mask.cpu().numpy()
    common = np.count_nonzero(mask & truth[y0:y1, x0:x1])
    union = np.count_nonzero(mask) + np.count_nonzero(truth) - common
    return common / union if union else 0.0
