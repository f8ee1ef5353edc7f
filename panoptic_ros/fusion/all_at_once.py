"""Pasting and laying masks of all instances at once, for devices on which each call costs time.

All boxes' pixels stand one after the other in single vectors: the cost is that of the boxes' area,
whatever their number, and no step asks the device for anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.fusion.fusion_options import FusionOptions
from panoptic_ros.prediction import MaskCrop
from panoptic_ros.upsampling import Box

# Rounds of `lay_all` before anybody looks whether they were enough: they are but where a covered
# instance frees one that covers the next, and so on.
ROUNDS = 4


class BoxPixels:
    """Hold the pixels of some boxes (x0, y0, x1, y1), A in all, box after box and row after row.

    owner: int64 [A], index of the pixel's box; x, y: int64 [A], its place in the image.
    """

    def __init__(self, boxes: Sequence[Box], device: torch.device) -> None:
        table = np.array(boxes, np.int64).reshape(-1, 4)
        self.widths, self.heights = table[:, 2] - table[:, 0], table[:, 3] - table[:, 1]
        self.areas = self.widths * self.heights
        ends = np.cumsum(self.areas)
        rows = np.stack([table[:, 0], table[:, 1], self.widths, ends - self.areas, ends])
        self._table = torch.from_numpy(rows).to(device, non_blocking=True)
        total = int(self.areas.sum())
        counts = self._table[4] - self._table[3]
        # The number of pixels is known here: without it the device would be asked.
        self.owner = torch.repeat_interleave(counts, output_size=total)
        left, top, width, start, _ = self._table[:, self.owner]
        within = torch.arange(total, device=device) - start
        row = torch.div(within, width, rounding_mode="floor")
        self.x, self.y = left + within - row * width, top + row

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of values [A] over each box, [N]; exact for bool and integers."""
        kind = torch.float64 if values.is_floating_point() else torch.int64
        running = F.pad(values.cumsum(0, dtype=kind), (1, 0))
        start, end = self._table[3:]
        return running[end] - running[start]

    def crops(self, values: Tensor) -> list[Tensor]:
        """Return values [A] as one array for each box, [y1 - y0, x1 - x0]."""
        parts = values.split(self.areas.tolist())
        shapes = zip(self.heights.tolist(), self.widths.tolist(), strict=True)
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def paste_all(pixels: BoxPixels, boxes: np.ndarray, masks: Tensor) -> Tensor:
    """Return what `masks.paste` gives for each box at its pixels, float [A].

    boxes: float [N, 4], xyxy; masks: float [N, M, M], probabilities over the boxes.
    """
    bins = masks.shape[1]
    scales = bins / np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
    table = np.concatenate([boxes[:, :2], scales], axis=1).T
    start = torch.from_numpy(table).to(masks.device, non_blocking=True)[:, pixels.owner]
    # A border of zeros, to which everything beyond the mask fades.
    padded = F.pad(masks, (1, 1, 1, 1)).flatten()
    side = bins + 2
    x, y = (
        (((at + 0.5 - start[i]) * start[i + 2]) + 0.5).clamp(0, side - 1)
        for i, at in enumerate((pixels.x, pixels.y))
    )
    column, row = x.long().clamp(max=side - 2), y.long().clamp(max=side - 2)
    right, down = (x - column).to(masks.dtype), (y - row).to(masks.dtype)
    corner = (pixels.owner * side + row) * side + column
    above = torch.lerp(padded[corner], padded[corner + 1], right)
    below = torch.lerp(padded[corner + side], padded[corner + side + 1], right)
    return torch.lerp(above, below, down)


def lay_all(
    crops: Sequence[MaskCrop],
    values: np.ndarray,
    image_size: tuple[int, int],
    options: FusionOptions,
    stuff: Tensor | None = None,
    rounds: int = ROUNDS,
) -> tuple[Tensor, Tensor]:
    """Lay masks by falling score, as `merge` says, without a loop over them.

    values: int64 [N], of the label image; stuff: float [H, W], the probability of stuff where the
    options' semantic_veto counts. Return the instances' values, int32 [H, W], 0 where there is
    none, and whether they are final, bool []; N + 1 rounds always give that.

    Whether an instance stays depends on better ones alone. Each round decides all of them from
    the decisions of the round before: after n rounds the first n are right, and what a round
    leaves as it was is right altogether.
    """
    device, count = crops[0].mask.device, len(crops)
    pixels = BoxPixels([crop.box for crop in crops], device)
    held = torch.cat([crop.mask.flatten() for crop in crops])
    place = pixels.y * image_size[1] + pixels.x
    areas = pixels.sums(held)
    allowed = torch.ones(count, dtype=torch.bool, device=device)
    if stuff is not None:
        seen = pixels.sums(stuff.flatten()[place] * held)
        allowed = seen <= options.semantic_veto * areas
    kept = before = allowed
    for _ in range(rounds):
        before = kept
        first = _first(place, pixels.owner, held & kept[pixels.owner], image_size, count)
        covered = pixels.sums(held & (first[place] < pixels.owner))
        kept = allowed & (covered <= options.overlap_threshold * areas)
    first = _first(place, pixels.owner, held & kept[pixels.owner], image_size, count)
    table = np.append(values, 0).astype(np.int32)
    canvas = torch.from_numpy(table).to(device, non_blocking=True)[first]
    return canvas.view(image_size), (kept == before).all()


def _first(
    place: Tensor, owner: Tensor, chosen: Tensor, image_size: tuple[int, int], count: int
) -> Tensor:
    """Return the least index that holds each pixel of the image, int64 [H * W], count: none."""
    first = torch.full((image_size[0] * image_size[1],), count, device=place.device)
    return first.scatter_reduce_(0, place, torch.where(chosen, owner, count), "amin")
