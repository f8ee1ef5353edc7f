"""Detector masks, pasted inside their boxes only.

Each call costs time on a GPU: there the pixels of all boxes stand one after the other in single
vectors. The cost is that of the boxes' area, whatever their number, and no step asks the device
for anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.prediction import MaskCrop
from panoptic_ros.upsampling import Box


def pixel_box(box: np.ndarray, image_size: tuple[int, int]) -> Box:
    """Return the pixels whose centres lie in a float xyxy box, clipped to the image.

    Pixel i covers [i, i + 1) and has its centre at i + 0.5. The ends are exclusive;
    an empty box has x1 == x0 or y1 == y0.
    """
    height, width = image_size
    x0, y0, x1, y1 = np.ceil(np.asarray(box, dtype=np.float64) - 0.5)
    left, top = int(np.clip(x0, 0, width)), int(np.clip(y0, 0, height))
    right, bottom = int(np.clip(x1, left, width)), int(np.clip(y1, top, height))
    return left, top, right, bottom


def paste(mask: Tensor, box: np.ndarray, crop: Box) -> Tensor:
    """Return a detector's mask sampled at the pixels of a crop, float [y1 - y0, x1 - x0].

    mask: float [M, M], probabilities over the float xyxy box; crop: pixels of the image,
    within or beyond the box. Bilinear, zero outside the mask, sampled at pixel centres:
    what `grid_sample(align_corners=False, padding_mode="zeros")` gives, written as two
    small matrix products because bilinear sampling on a regular grid is separable.
    """
    left, top, right, bottom = crop
    x0, y0, x1, y1 = (float(v) for v in box)
    rows = _tent(top, bottom, y0, y1, mask.shape[0], mask)
    columns = _tent(left, right, x0, x1, mask.shape[1], mask)
    return rows @ mask @ columns.T


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
    """Return what `paste` gives for each box at its pixels, float [A].

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


def pasted(
    boxes: np.ndarray, masks: Tensor, image_size: tuple[int, int], threshold: float
) -> list[MaskCrop]:
    """Return detector masks where they reach a threshold, bool, inside their boxes only.

    boxes: float [N, 4], xyxy; masks: float [N, M, M], probabilities over the boxes.
    """
    pixels = [pixel_box(box, image_size) for box in boxes]
    if not pixels:
        return []
    if masks.device.type != "cpu":
        everywhere = BoxPixels(pixels, masks.device)
        held = paste_all(everywhere, boxes, masks) >= threshold
        return [MaskCrop(*crop) for crop in zip(pixels, everywhere.crops(held), strict=True)]
    table = np.array(pixels)
    rows = _tents(table[:, 1::2], boxes[:, 1::2], masks, masks.shape[1])
    columns = _tents(table[:, 0::2], boxes[:, 0::2], masks, masks.shape[2]).mT
    left = rows @ masks
    crops = []
    for i, (x0, y0, x1, y1) in enumerate(pixels):
        values = left[i, : y1 - y0] @ columns[i, :, : x1 - x0]
        crops.append(MaskCrop(pixels[i], values >= threshold))
    return crops


def on_host(crops: Iterable[MaskCrop]) -> list[tuple[Box, np.ndarray]]:
    """Return masks as the scores take them: (box, array) each, in host memory."""
    return [(crop.box, crop.mask.cpu().numpy()) for crop in crops]


def _tent(first: int, last: int, start: float, stop: float, bins: int, like: Tensor) -> Tensor:
    """Return the bilinear weight of each mask bin at each pixel, [last - first, bins]."""
    return _tents(np.array([[first, last]]), np.array([[start, stop]]), like, bins)[0]


def _tents(pixels: np.ndarray, sides: np.ndarray, like: Tensor, bins: int) -> Tensor:
    """Return the bilinear weights of each mask's bins along one axis, [N, P, bins].

    pixels: int [N, 2], first and last (exclusive) pixel of each, P the most of any; sides: float
    [N, 2], where each mask starts and stops.
    """
    # Float64 on the host would be exact; float32 relative to the box keeps 1e-4 of a bin.
    offsets = torch.from_numpy((pixels[:, 0] + 0.5 - sides[:, 0]).astype(np.float32))
    scales = torch.from_numpy(
        (bins / np.maximum(sides[:, 1] - sides[:, 0], 1e-6)).astype(np.float32)
    )
    longest = int((pixels[:, 1] - pixels[:, 0]).max(initial=0))
    along = torch.arange(longest, device=like.device, dtype=torch.float32)
    offsets, scales = (t.to(like.device, non_blocking=True)[:, None] for t in (offsets, scales))
    position = (along + offsets) * scales - 0.5
    centres = torch.arange(bins, device=like.device, dtype=torch.float32)
    return (1 - (position[:, :, None] - centres).abs_()).clamp_(min=0).to(like.dtype)
