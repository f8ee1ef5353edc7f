"""Losses that torch and torchvision do not have ready."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.training.targets import IGNORE


def class_weights(pixels: Tensor, largest: float) -> Tensor:
    """Return a weight per class from its number of pixels, float [C]: inverse square root.

    Scaled so that the mean weight of a labelled pixel is 1, then limited to `largest`; a
    class without pixels gets 0.
    """
    share = pixels.double() / pixels.sum().clamp(min=1)
    weight = torch.where(share > 0, share.clamp(min=1e-12).rsqrt(), 0.0)
    return (weight / (weight * share).sum().clamp(min=1e-12)).clamp(max=largest).float()


def hard_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor, fraction: float) -> Tensor:
    """Return the mean weighted cross-entropy of the hardest pixels, a scalar.

    logits: float [B, C, H, W]; target: int64 [B, H, W], 255 ignored; weights: float [C];
    fraction: share of the labelled pixels that counts (1: all), one at least. Source: online hard
    example mining, Shrivastava et al. 2016, per batch as in Wu et al. 2016.
    """
    loss = F.cross_entropy(logits, target, weights, ignore_index=IGNORE, reduction="none")
    labelled = loss[target != IGNORE]
    if labelled.numel() == 0:
        return logits.sum() * 0
    count = max(1, int(fraction * labelled.numel()))
    return labelled.mean() if count == labelled.numel() else labelled.topk(count).values.mean()
