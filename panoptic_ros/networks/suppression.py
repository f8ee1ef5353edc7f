"""Suppression of overlapping boxes in fixed shapes, without a question to the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Rounds of `suppress`. One more box is settled for certain by each; boxes that overlap in a chain
# of as many links, every second one suppressed, hardly occur.
ROUNDS = 32
# Boxes that take part: the square of their number is what the device computes.
MOST_BOXES = 5000


def suppress(
    boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float, rounds: int = ROUNDS
) -> tuple[Tensor, Tensor]:
    """Return which boxes stay, bool [N], and whether that is final, bool [].

    boxes: float32 [N, 4], xyxy, by falling score; groups: int64 [N]; valid: bool [N], others take
    no part. A box goes where a better one of its group, which stays, overlaps it by an IoU above
    the threshold: torchvision's `nms` on each group, bit for bit as it computes on a CPU.

    Whether a box stays depends on better ones alone. Each round decides all from the decisions of
    the round before: what a round leaves as it was is right. N + 1 rounds are always enough.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clamp_(min=0).prod(2)
    iou = shared / (areas[:, None] + areas - shared)
    rivals = (iou > _below(threshold)) & (groups[:, None] == groups)
    # [worse, better]; a count of rivals in half precision never becomes zero.
    kind = torch.float16 if boxes.is_cuda else torch.float32
    rivals = rivals.tril(-1).to(kind)
    kept = before = valid
    for _ in range(rounds):
        before = kept
        kept = valid & (rivals @ before.to(kind) == 0)
    return kept, (kept == before).all()


def best_of(
    boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, threshold: float, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Suppress boxes; return `count` indices by falling score, which are good, and if all is final.

    boxes: float32 [N, 4], xyxy; scores: float [N]; groups: int64 [N]; valid: bool [N]. The good
    ones, bool [count], are the first; they are `batched_nms`'s, also where scores are equal.
    """
    least = scores.new_full((), torch.finfo(scores.dtype).min)
    order = torch.where(valid, scores, least).sort(descending=True, stable=True)[1][:MOST_BOXES]
    kept, final = suppress(boxes[order], groups[order], valid[order], threshold)
    final = final & (valid.sum() <= len(order))
    # Each goes to its place; what has none to one behind the last.
    place = torch.where(kept, kept.cumsum(0) - 1, count).clamp(max=count)
    chosen = order.new_zeros(count + 1).scatter_(0, place, order)[:count]
    return chosen, torch.arange(count, device=boxes.device) < kept.sum(), final


def _below(threshold: float) -> float:
    """Return the largest float32 that is not above a threshold.

    torchvision compares an IoU of float32 with a threshold of float64.
    """
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-1)) if float(rounded) > threshold else rounded)
