"""The panoptic head's loss on a network that learns with it: masks are pasted differentiably."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.fusion.conv_head import instance_mask, region, softmax_masks
from panoptic_ros.networks import PanopticHead
from panoptic_ros.prediction import SemanticPrediction
from panoptic_ros.upsampling import Box

# Of an image's instances so many at random, and of each a window of so many pixels a side.
MOST_INSTANCES = 8
WINDOW = 192


def head_loss(
    head: PanopticHead, semantic: SemanticPrediction, mask_logits: Tensor, target: dict[str, Tensor]
) -> Tensor:
    """Return the mean over instances of each one's mean binary cross-entropy, a scalar.

    mask_logits: float [N, M, M], what the mask head gives for the true boxes; target: boxes
    [N, 4] in pixels, labels [N] (1.. in the order of the thing classes), masks uint8
    [N, H, W]. The gradient reaches the head, the mask head and the semantic logits.
    """
    things, size = semantic.labels.things, semantic.image_size
    boxes, labels = target["boxes"].double().cpu().numpy(), target["labels"].tolist()
    losses = [semantic.logits.sum() * 0]
    for i in torch.randperm(len(boxes))[:MOST_INSTANCES].tolist():
        crop = _window(region(boxes[i], size))
        x0, y0, x1, y1 = crop
        own = instance_mask(mask_logits[i].sigmoid(), boxes[i], crop, size, head.radius)
        stacked = torch.cat([own[None], softmax_masks(semantic, crop, head.radius)])
        logits = head.cnn(things[labels[i] - 1].id)(stacked[None])[0, 0].float()
        truth = target["masks"][i, y0:y1, x0:x1].float()
        losses.append(F.binary_cross_entropy_with_logits(logits, truth))
    return torch.stack(losses).sum() / max(len(losses) - 1, 1)


def _window(box: Box) -> Box:
    """Return a random part of a box, WINDOW pixels a side at most."""
    starts, stops = [], []
    for start, stop in ((box[0], box[2]), (box[1], box[3])):
        spare = max(stop - start - WINDOW, 0)
        starts.append(start + int(torch.randint(spare + 1, ())))
        stops.append(min(starts[-1] + WINDOW, stop))
    return starts[0], starts[1], stops[0], stops[1]
