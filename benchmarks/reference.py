"""The textbook merge, and the head, slow and plain: the reference of tests and benchmarks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.labels import encode
from panoptic_ros.networks import PanopticHead
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction


def stack_reference(
    semantic: SemanticPrediction, instances: InstancePrediction, options: FusionOptions
) -> np.ndarray:
    """Return the label image of `stack`, int32 [H, W], by full-size masks and a plain loop.

    Every mask is pasted into a full frame (memory grows with N * H * W) and each step
    reads the device. It is the definition, not for production.
    """
    things = {c.id for c in semantic.labels.things}
    order = torch.argsort(instances.scores, descending=True, stable=True)
    instances = instances[order]
    masks = paste_full(instances, semantic.image_size) >= options.mask_threshold
    masks &= _inside(instances.boxes, semantic.image_size)
    canvas = torch.zeros(semantic.image_size, dtype=torch.int32, device=masks.device)
    count: dict[int, int] = {}
    for mask, score, class_id in zip(
        masks, instances.scores.tolist(), instances.class_ids.tolist(), strict=True
    ):
        number = count.get(class_id, 0)
        if score < options.score_threshold or class_id not in things:
            continue
        if number >= options.class_limits.get(class_id, 1000):
            continue
        count[class_id] = number + 1
        visible = mask & (canvas == 0)
        covered = mask.sum().item() - visible.sum().item()
        if covered <= options.overlap_threshold * mask.sum().item():
            canvas[visible] = encode(class_id, number)
    best = semantic.upsampled().argmax(0)
    free = canvas == 0
    for channel, label in enumerate(semantic.labels.classes):
        held = free & (best == channel)
        if not label.is_thing and held.sum().item() >= options.stuff_area_limit:
            canvas[held] = label.id
    return canvas.cpu().numpy()


def head_reference(head: PanopticHead, semantic: Tensor, mask: Tensor, class_id: int) -> Tensor:
    """Return an instance's logits [H, W] as the report defines them, over the whole frame.

    semantic: softmax masks [C, H, W]; mask: pasted instance mask [H, W].
    """
    stacked = F.pad(torch.cat([mask[None], semantic])[None], [head.radius] * 4)
    return head.cnn(class_id)(stacked)[0, 0]


def _inside(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the pixels whose centres each box holds, bool [N, H, W]."""
    height, width = image_size
    x0, y0, x1, y1 = boxes[:, :, None, None].unbind(1)
    x = torch.arange(width, device=boxes.device) + 0.5
    y = torch.arange(height, device=boxes.device)[:, None] + 0.5
    return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)


def paste_full(instances: InstancePrediction, image_size: tuple[int, int]) -> Tensor:
    """Return every mask pasted into a full frame, float [N, H, W], bilinear, zero outside."""
    height, width = image_size
    x0, y0, x1, y1 = instances.boxes[:, :, None].unbind(1)
    x = torch.arange(width, device=x0.device, dtype=torch.float32) + 0.5
    y = torch.arange(height, device=x0.device, dtype=torch.float32) + 0.5
    grid_x = (x - x0) / (x1 - x0) * 2 - 1
    grid_y = (y - y0) / (y1 - y0) * 2 - 1
    shape = (len(instances), height, width)
    grid = torch.stack([grid_x[:, None, :].expand(shape), grid_y[:, :, None].expand(shape)], 3)
    return F.grid_sample(instances.masks[:, None], grid, align_corners=False)[:, 0]
