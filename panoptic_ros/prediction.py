"""The three predictions that flow through the pipeline.

Many use the label image alone, without torch: it is loaded where networks' answers are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from panoptic_ros.labels import UNLABELED, LabelSet

if TYPE_CHECKING:
    from torch import Tensor

    from panoptic_ros.upsampling import Box


class NonFinitePrediction(FloatingPointError):  # noqa: N818 - what it is, not that it is an error
    """Say which network answered with NaN or infinity, so that there is nothing to publish."""


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Return whether all values of float tensors are finite, bool [], without a wait for them."""
    import torch

    # A sum is not finite where one of its terms is not: a single pass, of any shape.
    return torch.stack([t.sum(dtype=torch.float32) for t in tensors]).isfinite().all()


@dataclass(frozen=True)
class SemanticPrediction:
    """Hold class scores of an image, on the network's device.

    logits: float [C, H', W'], channels in the label set's order, at any scale.
    image_size: (H, W) of the image they stand for.
    other: float [H', W'], the score of what is none of the classes, where a network knows
    such; a pixel is unlabeled where it wins.
    """

    logits: Tensor
    image_size: tuple[int, int]
    labels: LabelSet
    other: Tensor | None = None

    def __post_init__(self) -> None:
        if self.logits.ndim != 3 or self.logits.shape[0] != len(self.labels):
            raise ValueError(
                f"logits have shape {tuple(self.logits.shape)}, "
                f"label set {self.labels.name!r} needs [{len(self.labels)}, H, W]"
            )

    @cached_property
    def scores(self) -> Tensor:
        """The logits and, as a last channel, what is none of the classes, if it is known."""
        import torch

        return self.logits if self.other is None else torch.cat([self.logits, self.other[None]])

    def upsampled(self) -> Tensor:
        """Return the logits at image size, float [C, H, W] (bilinear, half-pixel centres)."""
        from panoptic_ros.upsampling import upsampled

        return upsampled(self.logits, self.image_size)

    @cached_property
    def channels(self) -> Tensor:
        """Best channel of each pixel, uint8 [H, W].

        An index into `labels.classes`, and len(labels) for what is none of them.
        """
        from panoptic_ros.upsampling import argmax_upsampled

        return argmax_upsampled(self.scores, self.image_size)

    def class_map(self) -> np.ndarray:
        """Return the label id of each pixel's best class, uint8 [H, W], in host memory.

        0 is what is none of the classes. Raise ValueError where the label set has an id beyond 255.
        """
        if int(self.labels.ids.max()) > 255:
            raise ValueError(
                f"label set {self.labels.name!r} has class id {self.labels.ids.max()}; "
                "an 8-bit class map holds ids up to 255"
            )
        table = np.zeros(256, np.uint8)
        table[: len(self.labels)] = self.labels.ids
        return cv2.LUT(self.channels.cpu().numpy(), table)

    def confidence_map(self) -> np.ndarray:
        """Return each pixel's largest class probability, uint8 [H, W] (255 = 1), in host memory.

        The softmax is that of the logits at image size.
        """
        import torch

        from panoptic_ros.upsampling import largest_probability

        with torch.no_grad():
            probability = largest_probability(self.scores, self.image_size)
            return probability.mul(255).round().to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class InstancePrediction:
    """Hold the detected instances of an image, on the network's device.

    boxes: float [N, 4], xyxy, pixels of the image; class_ids: int64 [N], label ids;
    scores: float [N], 0..1; masks: float [N, M, M], probabilities in the box's frame (M = 28);
    finite: bool [], whether what the network computed on the way to them was finite, where the
    network drops what is not; None: the fields tell.
    """

    boxes: Tensor
    class_ids: Tensor
    scores: Tensor
    masks: Tensor
    finite: Tensor | None = None

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
        fields = (self.boxes, self.class_ids, self.scores, self.masks)
        boxes, class_ids, scores, masks = (each[index] for each in fields)
        return InstancePrediction(boxes, class_ids, scores, masks, self.finite)

    def all_finite(self) -> Tensor:
        """Return whether the network's answer is finite, bool [], without a wait for it."""
        fields = all_finite((self.boxes, self.scores, self.masks))
        return fields if self.finite is None else fields & self.finite


@dataclass(frozen=True)
class MaskCrop:
    """Hold the part of an image's mask inside a box (x0, y0, x1, y1): [y1 - y0, x1 - x0]."""

    box: Box
    mask: Tensor


def on_host(crops: Iterable[MaskCrop]) -> list[tuple[Box, np.ndarray]]:
    """Return masks as the scores take them: (box, array) each, in host memory."""
    return [(crop.box, crop.mask.cpu().numpy()) for crop in crops]


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

    Values: 0 unlabeled, stuff class_id, things class_id * 1000 + n. For a mask, compare the label
    image with the segment's id.
    masks: bool, on the device, what the strategy made of each instance before they competed
    for pixels, in the order of `fusion.merge.select`; None where a strategy has none.
    """

    labels: np.ndarray
    segments: list[Segment] = field(default_factory=list)
    masks: list[MaskCrop] | None = None

    def mask(self, segment: Segment) -> np.ndarray:
        """Return the segment's mask cropped to its box, bool [y1 - y0, x1 - x0]."""
        x0, y0, x1, y1 = segment.box
        return self.labels[y0:y1, x0:x1] == segment.id


def extent(image: np.ndarray, value: int, box: Box) -> tuple[int, Box] | None:
    """Return area and tight box of a value's pixels in a box, None if there are none."""
    x0, y0, x1, y1 = box
    window = image[y0:y1, x0:x1]
    if window.size == 0 or value == UNLABELED:
        return None
    mask = (window == value).view(np.uint8)
    if not (area := cv2.countNonZero(mask)):
        return None
    left, top, width, height = cv2.boundingRect(mask)
    return area, (x0 + left, y0 + top, x0 + left + width, y0 + top + height)
