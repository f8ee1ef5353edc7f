"""Where an image lies in the input of a network that wants certain sizes, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from panoptic_ros.model.predictors import Limits, resize

# What surrounds a letterboxed image in training, too (YOLOv5 and its successors).
GREY = 114

Size = tuple[int, int]


@dataclass(frozen=True)
class Placement:
    """Say where an image lies in a network's input.

    canvas: (height, width) of the input; size: of the image in it; corner: its first row and
    column there; frame: size of the image itself.
    """

    canvas: Size
    size: Size
    corner: Size
    frame: Size

    def apply(self, image: Tensor) -> Tensor:
        """Return the input, uint8 [3, *canvas], of an image, uint8 [3, *frame]."""
        (height, width), (top, left) = self.size, self.corner
        pixels = resize(image, self.size)
        beside = (left, self.canvas[1] - width - left, top, self.canvas[0] - height - top)
        return F.pad(pixels, beside, value=GREY) if any(beside) else pixels

    def region(self, scores: Tensor) -> Tensor:
        """Return the image's part of an output for the canvas, [C, h, w], at the same scale.

        Sampled bilinearly where its edges fall between the output's pixels.
        """
        if self.size == self.canvas:
            return scores
        rows, columns = (n / side for n, side in zip(scores.shape[1:], self.canvas, strict=True))
        top, bottom = self.corner[0] * rows, (self.corner[0] + self.size[0]) * rows
        left, right = self.corner[1] * columns, (self.corner[1] + self.size[1]) * columns
        if all(edge.is_integer() for edge in (top, bottom, left, right)):
            return scores[:, int(top) : int(bottom), int(left) : int(right)]
        shape = max(round(bottom - top), 1), max(round(right - left), 1)
        box = scores.new_tensor([[left, top, right, bottom]])
        return roi_align(scores[None], [box], shape, sampling_ratio=1, aligned=True)[0]

    def clip(self, boxes: Tensor) -> Tensor:
        """Return boxes of the canvas, float [N, 4] xyxy, without what lies beside the image."""
        top, left = self.corner
        low = boxes.new_tensor([left, top] * 2)
        high = boxes.new_tensor([left + self.size[1], top + self.size[0]] * 2)
        return torch.minimum(torch.maximum(boxes, low), high)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Return boxes of the canvas, float [N, 4] xyxy, in pixels of the image itself."""
        top, left = self.corner
        scale = [self.frame[1] / self.size[1], self.frame[0] / self.size[0]]
        return (boxes - boxes.new_tensor([left, top] * 2)) * boxes.new_tensor(scale * 2)


@dataclass(frozen=True)
class Fit:
    """Place images in a network's input.

    limits: of the size; fixed: sides that the network fixes, None for open
    ones; multiple: of which open sides must be multiples; letterbox: keep proportions, and pad
    on both sides alike.
    """

    limits: Limits
    fixed: tuple[int | None, int | None]
    multiple: int
    letterbox: bool

    def place(self, frame: Size) -> Placement:
        """Return where an image of a size lies."""
        size = self.limits.size(frame)
        if self.letterbox and any(self.fixed):
            scales = [f / side for f, side in zip(self.fixed, frame, strict=True) if f]
            height, width = (max(1, int(side * min(scales) + 0.5)) for side in frame)
            size = (height, width)
        height, width = (
            side or -(-wanted // self.multiple) * self.multiple
            for side, wanted in zip(self.fixed, size, strict=True)
        )
        if not self.letterbox:
            size = (height, width)
        corner = ((height - size[0]) // 2, (width - size[1]) // 2)
        return Placement((height, width), size, corner, frame)
