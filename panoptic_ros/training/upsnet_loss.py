"""UPSNet's panoptic loss: the merge's own argmax as a classification, on true boxes.

Source: Xiong et al. 2019, "UPSNet: A Unified Panoptic Segmentation Network", sections 3.1 and 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.training.targets import IGNORE
from panoptic_ros.upsampling import paste, pixel_box

# Not 255, which may be an instance's number.
IGNORE_ALL = -100
# Share of the true instances that are left out in training: their pixels are unknown.
DROPPED = 0.3


def panoptic_loss(
    logits: Tensor,
    mask_logits: Tensor,
    target: dict[str, Tensor],
    channels: Tensor,
    is_thing: Tensor,
    kept: Tensor,
) -> Tensor:
    """Return the mean cross-entropy of an image's panoptic logits, a scalar.

    logits: float [C, h, w] of all classes; mask_logits: float [N, M, M], what the mask head
    gives for the true boxes; target: boxes [N, 4] in pixels of the image, labels [N] (1.. in the
    order of the thing classes), masks uint8 [N, H, W]; channels: int64 [H, W], 255 ignored;
    is_thing: bool [C]; kept: bool [N], the instances that take part. Things that are no
    instance, such as groups, are ignored. It is computed at the logits' size.
    """
    stuff, things = logits[~is_thing], logits[is_thing]
    size = (int(logits.shape[1]), int(logits.shape[2]))
    instances, of_class = _instance_logits(things, mask_logits, target, channels.shape, kept)
    # As the merge has it: 0 where no box is.
    covered = of_class.amax(0) if len(of_class) else things.new_full(size, -torch.inf)
    unknown = things.amax(0) - torch.where(covered.isfinite(), covered, 0)
    scores = torch.cat([stuff, instances, unknown[None]])
    truth = _truth(target, channels, is_thing, kept, size)
    # Rounding may put a pixel of an instance beyond its box, where it is no choice.
    known = truth.where(truth != IGNORE_ALL, 0)[None]
    truth = truth.where(scores.gather(0, known)[0].isfinite(), IGNORE_ALL)
    losses = F.cross_entropy(scores[None], truth[None], ignore_index=IGNORE_ALL, reduction="sum")
    return losses / (truth != IGNORE_ALL).sum().clamp(min=1)


def _instance_logits(
    things: Tensor,
    mask_logits: Tensor,
    target: dict[str, Tensor],
    image_size: torch.Size,
    kept: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return panoptic and semantic logits of the kept instances, [K, h, w], -inf beyond boxes."""
    height, width = int(things.shape[1]), int(things.shape[2])
    scale = target["boxes"].new_tensor([width / image_size[1], height / image_size[0]] * 2)
    index = kept.nonzero()[:, 0]
    boxes = (target["boxes"][index] * scale).double().cpu().numpy()
    panoptic, semantic = [], []
    for box, mask, label in zip(
        boxes, mask_logits[index], target["labels"][index].tolist(), strict=True
    ):
        crop = pixel_box(box, (height, width))
        x0, y0, x1, y1 = crop
        around = (x0, width - x1, y0, height - y1)
        of_class = things[label - 1, y0:y1, x0:x1]
        semantic.append(F.pad(of_class, around, value=-torch.inf))
        panoptic.append(F.pad(of_class + paste(mask, box, crop), around, value=-torch.inf))
    if not panoptic:
        nothing = things.new_zeros((0, height, width))
        return nothing, nothing
    return torch.stack(panoptic), torch.stack(semantic)


def _truth(
    target: dict[str, Tensor],
    channels: Tensor,
    is_thing: Tensor,
    kept: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Return the true choice of each pixel, int64 [h, w]: stuff, kept instances, unknown."""
    # The pixel in the middle of each cell.
    rows, columns = (
        (torch.arange(n, device=channels.device) * whole + whole // 2) // n
        for n, whole in zip(size, channels.shape, strict=True)
    )
    channels = channels[rows][:, columns]
    masks = target["masks"][:, rows][:, :, columns].bool()
    stuff = int((~is_thing).sum())
    # Of each channel, its place among the stuff; things and the ignored have none.
    places = channels.new_full((IGNORE + 1,), IGNORE_ALL)
    places[: len(is_thing)][~is_thing] = torch.arange(stuff, device=channels.device)
    truth = places[channels]
    numbers = torch.where(kept, stuff + kept.cumsum(0) - 1, stuff + kept.sum())
    for mask, number in zip(masks, numbers, strict=True):
        truth = torch.where(mask, number, truth)
    return truth
