"""Detector masks, pasted inside their boxes only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.prediction import MaskCrop
from panoptic_ros.upsampling import Box


def pixel_box(box: np.ndarray, image_size: tuple[int, int]) -> Box:
    """Return the pixels whose centres lie in a float xyxy box; see `pixel_boxes`."""
    return box_tuples(pixel_boxes(np.reshape(box, (1, 4)), image_size))[0]


def pixel_boxes(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres lie in float boxes, clipped to the image, int64 [N, 4], xyxy.

    Pixel i covers [i, i + 1) and has its centre at i + 0.5. The ends are exclusive;
    an empty box has x1 == x0 or y1 == y0.
    """
    height, width = image_size
    ends = np.ceil(np.asarray(boxes, np.float64) - 0.5)
    first = np.clip(ends[:, :2], 0, (width, height))
    return np.concatenate([first, np.clip(ends[:, 2:], first, (width, height))], 1).astype(np.int64)


def box_tuples(table: np.ndarray) -> list[Box]:
    """Return the rows of an integer table [N, 4] as boxes."""
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in table.tolist()]


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


def pasted(
    boxes: np.ndarray, masks: Tensor, image_size: tuple[int, int], threshold: float
) -> list[MaskCrop]:
    """Return detector masks where they reach a threshold, bool, inside their boxes only.

    boxes: float [N, 4], xyxy; masks: float [N, M, M], probabilities over the boxes, in host memory.
    """
    if not len(boxes):
        return []
    table = pixel_boxes(boxes, image_size)
    rows = _tents(table[:, 1::2], boxes[:, 1::2], masks, masks.shape[1])
    columns = _tents(table[:, 0::2], boxes[:, 0::2], masks, masks.shape[2]).mT
    left = rows @ masks
    crops = []
    for i, box in enumerate(box_tuples(table)):
        values = left[i, : box[3] - box[1]] @ columns[i, :, : box[2] - box[0]]
        crops.append(MaskCrop(box, values >= threshold))
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
