"""Bilinear upsampling of class scores and of detectors' masks, computed only where it is needed.

Half-pixel centres throughout: `F.interpolate(..., mode="bilinear", align_corners=False)`
is the definition that all functions of class scores reproduce.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Box = tuple[int, int, int, int]
# What is computed for all classes at image size is computed in strips of at most as many
# pixels (160 MB of 19 channels), so that memory does not grow with the image. A frame of
# 1024x2048 is a single strip on a device; in host memory strips of 1 MB stay in the cache.
STRIP_PIXELS, HOST_STRIP_PIXELS = 1 << 21, 1 << 14
# Cells that are computed at once, so that they stay in the cache, and the share of all from which
# on computing every pixel costs less.
_CELLS, _MOST_CELLS = 1024, 0.3


def strips(box: Box, device: torch.device) -> list[Box]:
    """Cut a box (x0, y0, x1, y1) into strips of whole rows, as large as suits a device."""
    x0, y0, x1, y1 = box
    pixels = HOST_STRIP_PIXELS if device.type == "cpu" else STRIP_PIXELS
    height = max(1, pixels // max(x1 - x0, 1))
    return [(x0, top, x1, min(top + height, y1)) for top in range(y0, y1, height)]


def upsampled(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Return scores, float [C, H', W'], at a size, [C, H, W]."""
    if scores.shape[1:] == size:
        return scores
    return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]


def argmax_upsampled(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the channel with the highest upsampled score, uint8 [H, W].

    logits: float [C, H', W'], C <= 256. Equals `interpolate(logits, size).argmax(0)`.
    """
    if tuple(logits.shape[1:]) == tuple(size):
        return logits.argmax(0).to(torch.uint8)
    if logits.device.type == "cpu":
        return _argmax_on_host(logits, size)
    return torch.cat([scores.argmax(0).to(torch.uint8) for scores in _in_strips(logits, size)])


def _in_strips(logits: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    """Yield the upsampled scores from top to bottom, float [C, h, W] each."""
    parts = strips((0, 0, size[1], size[0]), logits.device)
    if len(parts) == 1:
        yield upsampled(logits, size)
        return
    for part in parts:
        yield upsample_crop(logits, size, part)


def _argmax_on_host(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the best channels; compute scores only where the corners around a pixel differ."""
    channels = logits.detach().float().numpy()
    height, width = channels.shape[1:]
    factor = size[0] // height
    if factor < 2 or factor % 2 or size != (height * factor, width * factor):
        return torch.from_numpy(_best_channel(channels, size))
    # Cell (r, c) lies between scores r - 1 and r, c - 1 and c; its factor x factor pixels have no
    # other corners.
    best = np.pad(_best_channel(channels, (height, width)), 1, mode="edge")
    first = best[:-1, :-1]
    differ = (first != best[1:, :-1]) | (first != best[:-1, 1:]) | (first != best[1:, 1:])
    rows, columns = np.nonzero(differ)
    if len(rows) > _MOST_CELLS * differ.size:
        return torch.from_numpy(_best_channel(channels, size))
    shape = ((width + 1) * factor, (height + 1) * factor)
    image = cv2.resize(first, shape, interpolation=cv2.INTER_NEAREST)
    cells = image.reshape(height + 1, factor, width + 1, factor)
    flat, weights = channels.reshape(len(channels), -1), _cell_weights(factor)
    for start in range(0, len(rows), _CELLS):
        r, c = rows[start : start + _CELLS], columns[start : start + _CELLS]
        ys = [np.maximum(r - 1, 0) * width, np.minimum(r, height - 1) * width]
        xs = [np.maximum(c - 1, 0), np.minimum(c, width - 1)]
        scores = weights @ flat.take(np.stack([y + x for y in ys for x in xs]), axis=1)
        cells[r, :, c, :] = _best_channel(scores, scores.shape[1:]).T.reshape(-1, factor, factor)
    half = factor // 2
    return torch.from_numpy(np.ascontiguousarray(image[half:-half, half:-half]))


def _cell_weights(factor: int) -> np.ndarray:
    """Return what each corner of a cell weighs at each of its pixels, float32 [factor**2, 4]."""
    second = (np.arange(factor, dtype=np.float32) + 0.5) / factor
    sides = np.stack([1 - second, second], axis=1)
    return np.einsum("ya,xb->yxab", sides, sides).reshape(factor * factor, 4)


def _best_channel(channels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the channel with the highest score, the first of equal ones, uint8 [H, W].

    channels: float32 [C, h, w], brought to the size one by one with a running maximum: [C, H, W]
    floats never exist, so everything stays in the cache.
    """
    shape = (size[1], size[0])
    best = cv2.resize(channels[0], shape, interpolation=cv2.INTER_LINEAR)
    index, wins = np.zeros(size, np.uint8), np.empty(size, np.uint8)
    scores = np.empty_like(best)
    for i, channel in enumerate(channels[1:], start=1):
        cv2.resize(channel, shape, dst=scores, interpolation=cv2.INTER_LINEAR)
        cv2.compare(scores, best, cv2.CMP_GT, dst=wins)
        # The number is the largest so far: a maximum writes it where the channel wins.
        np.maximum(index, np.bitwise_and(wins, np.uint8(i), out=wins), out=index)
        cv2.max(scores, best, dst=best)
    return index


def largest_probability(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the largest class probability of each pixel, float32 [H, W].

    logits: float [C, H', W']. Equals `interpolate(logits, size).softmax(0).amax(0)`.
    """
    if logits.device.type == "cpu":
        return torch.from_numpy(_largest_probability_on_host(logits, size))
    return torch.cat([scores.float().softmax(0).amax(0) for scores in _in_strips(logits, size)])


def _largest_probability_on_host(logits: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Return 1 / sum exp(score - best score), channel by channel and each upsampled twice."""
    channels = logits.detach().float().numpy()
    shape = (size[1], size[0])
    best = np.full(size, -np.inf, np.float32)
    total = np.zeros_like(best)
    scores = np.empty_like(best)
    for channel in channels:
        cv2.resize(channel, shape, dst=scores, interpolation=cv2.INTER_LINEAR)
        cv2.max(best, scores, dst=best)
    for channel in channels:
        cv2.resize(channel, shape, dst=scores, interpolation=cv2.INTER_LINEAR)
        cv2.subtract(scores, best, dst=scores)
        cv2.exp(scores, dst=scores)
        cv2.add(total, scores, dst=total)
    return cv2.divide(1, total, dst=total)


def upsample_crop(logits: Tensor, size: tuple[int, int], box: Box) -> Tensor:
    """Return a part of the upsampled scores, float [C, y1 - y0, x1 - x0].

    logits: float [C, H', W']; size: (H, W) of the whole image; box: (x0, y0, x1, y1)
    inside it. Equals `interpolate(logits, size)[:, y0:y1, x0:x1]` up to rounding.
    """
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return logits.new_empty(len(logits), bottom - top, right - left)
    factor = size[0] // logits.shape[1]
    is_whole = size == (logits.shape[1] * factor, logits.shape[2] * factor)
    on_host = logits.device.type == "cpu" and logits.dtype == torch.float32
    # In training, the gradient has to pass.
    if is_whole and on_host and not logits.requires_grad:
        return torch.from_numpy(_crop_on_host(logits.numpy(), factor, box))
    y0, y1, fy = (t[top:bottom] for t in _taps(size[0], logits.shape[1], logits))
    x0, x1, fx = (t[left:right] for t in _taps(size[1], logits.shape[2], logits))
    # Along the rows first, and those that are needed: there are far fewer of them than pixels.
    first = y0[0]
    part = logits[:, first : y1[-1] + 1]
    part = torch.lerp(part.index_select(2, x0), part.index_select(2, x1), fx)
    return torch.lerp(
        part.index_select(1, y0 - first), part.index_select(1, y1 - first), fy[:, None]
    )


def _crop_on_host(channels: np.ndarray, factor: int, box: Box) -> np.ndarray:
    """Return a part of scores that become larger by a whole factor, of C-contiguous rows."""
    left, top, right, bottom = box
    # A score more on each side: with it the part does not know that it is one.
    x0, y0 = max(left // factor - 1, 0), max(top // factor - 1, 0)
    part = channels[:, y0 : -(-bottom // factor) + 1, x0 : -(-right // factor) + 1]
    height, width = part.shape[1] * factor, part.shape[2] * factor
    scores = np.empty((len(part), height, width), np.float32)
    for channel, target in zip(part, scores, strict=True):
        cv2.resize(channel, (width, height), dst=target, interpolation=cv2.INTER_LINEAR)
    y, x = y0 * factor, x0 * factor
    return scores[:, top - y : bottom - y, left - x : right - x]


def _taps(n_out: int, n_in: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each output position its two inputs and the weight of the second."""
    position = (torch.arange(n_out, device=like.device, dtype=torch.float32) + 0.5) * (n_in / n_out)
    position = (position - 0.5).clamp_(min=0)
    first = position.to(torch.int64).clamp_(max=n_in - 1)
    return first, (first + 1).clamp_(max=n_in - 1), (position - first).to(like.dtype)


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
    boxes: np.ndarray, masks: Tensor, image_size: tuple[int, int]
) -> Iterator[tuple[Box, Tensor]]:
    """Yield detector masks inside their boxes only, as `paste`, with each one's pixels.

    boxes: float [N, 4], xyxy; masks: float [N, M, M], probabilities over the boxes, in host memory.
    """
    if not len(boxes):
        return
    table = pixel_boxes(boxes, image_size)
    rows = _tents(table[:, 1::2], boxes[:, 1::2], masks, masks.shape[1])
    columns = _tents(table[:, 0::2], boxes[:, 0::2], masks, masks.shape[2]).mT
    left = rows @ masks
    for i, box in enumerate(box_tuples(table)):
        yield box, left[i, : box[3] - box[1]] @ columns[i, :, : box[2] - box[0]]


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
