"""The three things that flow through the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.labels import LabelSet
from panoptic_ros.upsampling import argmax_upsampled


@dataclass(frozen=True)
class SemanticPrediction:
    """Hold class scores of an image, on the network's device.

    logits: float [C, H', W'], channels in the label set's order, at any scale.
    image_size: (H, W) of the image they stand for.
    """

    logits: Tensor
    image_size: tuple[int, int]
    labels: LabelSet

    def __post_init__(self) -> None:
        if self.logits.ndim != 3 or self.logits.shape[0] != len(self.labels):
            raise ValueError(
                f"logits have shape {tuple(self.logits.shape)}, "
                f"label set {self.labels.name!r} needs [{len(self.labels)}, H, W]"
            )

    def upsampled(self) -> Tensor:
        """Return the logits at image size, float [C, H, W] (bilinear, half-pixel centres)."""
        if tuple(self.logits.shape[1:]) == tuple(self.image_size):
            return self.logits
        return F.interpolate(
            self.logits[None], self.image_size, mode="bilinear", align_corners=False
        )[0]

    @cached_property
    def channels(self) -> Tensor:
        """Best channel of each pixel (an index into `labels.classes`), uint8 [H, W]."""
        return argmax_upsampled(self.logits, self.image_size)


@dataclass(frozen=True)
class InstancePrediction:
    """Hold the detected instances of an image, on the network's device.

    boxes: float [N, 4], xyxy, pixels of the image; class_ids: int64 [N], label ids;
    scores: float [N], 0..1; masks: float [N, M, M], probabilities in the box's frame (M = 28).
    """

    boxes: Tensor
    class_ids: Tensor
    scores: Tensor
    masks: Tensor

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or len(self.class_ids) != n or len(self.masks) != n:
            raise ValueError(
                f"{n} scores, but boxes {tuple(self.boxes.shape)}, "
                f"class ids {tuple(self.class_ids.shape)}, masks {tuple(self.masks.shape)}"
            )

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor) -> InstancePrediction:
        """Return the instances that a boolean or index tensor selects."""
        return InstancePrediction(
            self.boxes[index], self.class_ids[index], self.scores[index], self.masks[index]
        )


@dataclass(frozen=True)
class Segment:
    """Describe one segment of a label image.

    id: value of its pixels; class_id: label id; score: 0..1 (a stuff segment: 1);
    area: pixels; box: tight (x0, y0, x1, y1) in pixels, the ends exclusive.
    """

    id: int
    class_id: int
    is_thing: bool
    score: float
    area: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class PanopticPrediction:
    """Hold a label image, uint16 (or int32) [H, W] in host memory, and its segments.

    Values: 0 unlabeled, stuff class_id, things class_id * 1000 + n. Whoever needs a
    mask compares the label image with the segment's id.
    """

    labels: np.ndarray
    segments: list[Segment] = field(default_factory=list)

    def mask(self, segment: Segment) -> np.ndarray:
        """Return the segment's mask cropped to its box, bool [y1 - y0, x1 - x0]."""
        x0, y0, x1, y1 = segment.box
        return self.labels[y0:y1, x0:x1] == segment.id


def empty_instances(device: torch.device | str = "cpu", mask_size: int = 28) -> InstancePrediction:
    """Return a prediction of no instances."""
    return InstancePrediction(
        torch.zeros(0, 4, device=device),
        torch.zeros(0, dtype=torch.int64, device=device),
        torch.zeros(0, device=device),
        torch.zeros(0, mask_size, mask_size, device=device),
    )
