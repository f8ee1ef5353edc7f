"""YOLACT: instances in one stage, as linear combinations of prototype masks.

Source: Bolya et al. 2019, "YOLACT: Real-time Instance Segmentation".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import Conv2dNormActivation, box_iou, clip_boxes_to_image

ASPECT_RATIOS = (1.0, 0.5, 2.0)
# Of SSD, which the paper takes over: regression targets in units of these deviations.
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# P3 to P7.
STRIDES = (8, 16, 32, 64, 128)
# Section 4 and 5 of the paper.
PROTOTYPES = 32
CANDIDATES = 200
NMS_IOU = 0.5
POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
NEGATIVES_PER_POSITIVE = 3
LOSS_WEIGHTS = {"confidence": 1.0, "box": 1.5, "mask": 6.125, "semantic": 1.0}
# Side of the masks that are given, in the box's frame.
MASK_SIDE = 56
# Most instances whose masks a training step draws, of each image.
MASKS_TO_TRAIN = 100
_conv_relu = partial(Conv2dNormActivation, norm_layer=None)


@dataclass(frozen=True)
class RawInstances:
    """Hold what the network gives for every anchor of a batch.

    logits: [B, A, classes + 1], the background first; boxes: [B, A, 4], regression of the
    anchors; coefficients: [B, A, P], -1..1; prototypes: [B, P, H / 4, W / 4], >= 0; anchors:
    [A, 4], xyxy in pixels.
    """

    logits: Tensor
    boxes: Tensor
    coefficients: Tensor
    prototypes: Tensor
    anchors: Tensor


@dataclass(frozen=True)
class StaticInstances:
    """Hold a fixed number N of detections of one image, the best ones first.

    boxes: float [N, 4], xyxy pixels; labels: int64 [N], 1..classes; scores: float [N];
    coefficients: float [N, P]; valid: bool [N], what Fast NMS has kept.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    coefficients: Tensor
    valid: Tensor


class Protonet(nn.Module):
    """Draw prototypes from P3: three 3x3 convolutions, twice the size, one more, 1x1, ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        widths = [in_channels, channels, channels, channels]
        self.before = nn.Sequential(*(_conv_relu(*pair) for pair in itertools.pairwise(widths)))
        self.after = nn.Sequential(
            _conv_relu(channels, channels), nn.Conv2d(channels, PROTOTYPES, 1)
        )

    def forward(self, p3: Tensor) -> Tensor:
        """Return prototypes [B, P, 2 h, 2 w], >= 0."""
        larger = F.interpolate(self.before(p3), scale_factor=2, mode="bilinear")
        return F.relu(self.after(larger))


class YolactHead(nn.Module):
    """Predict class, box and mask coefficients of every anchor, and the prototypes.

    in_channels: of the pyramid's levels; num_classes: without the background; channels: of
    the shared tower; anchor_sizes: side of the anchors on P3 to P7, pixels.
    Raise ValueError for another number of sizes.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 256,
        anchor_sizes: Sequence[int] = (24, 48, 96, 192, 384),
    ) -> None:
        super().__init__()
        if len(anchor_sizes) != len(STRIDES):
            raise ValueError(
                f"anchor_sizes has {len(anchor_sizes)} entries; there are {len(STRIDES)} levels"
            )
        self.num_classes = num_classes
        self.anchor_sizes = tuple(anchor_sizes)
        self.protonet = Protonet(in_channels, channels)
        self.coarser = nn.ModuleList(
            nn.Conv2d(in_channels, in_channels, 3, stride=2, padding=1) for _ in range(2)
        )
        self.tower = _conv_relu(in_channels, channels)
        per_cell = len(ASPECT_RATIOS)
        self.classes = nn.Conv2d(channels, per_cell * (num_classes + 1), 3, padding=1)
        self.boxes = nn.Conv2d(channels, per_cell * 4, 3, padding=1)
        self.coefficients = nn.Conv2d(channels, per_cell * PROTOTYPES, 3, padding=1)
        # For the semantic loss of the paper's section 5, in training only.
        self.semantic = nn.Conv2d(in_channels, num_classes, 1)
        _start_as_background(self.classes, num_classes)

    def forward(self, pyramid: Sequence[Tensor]) -> RawInstances:
        """Return the raw predictions for the levels P3 to P5, float [B, in_channels, h, w]."""
        p3, p4, p5 = pyramid
        p6 = self.coarser[0](p5)
        levels = [p3, p4, p5, p6, self.coarser[1](p6)]
        towers = [self.tower(level) for level in levels]
        return RawInstances(
            logits=_per_anchor(self.classes, towers, self.num_classes + 1),
            boxes=_per_anchor(self.boxes, towers, 4),
            coefficients=_per_anchor(self.coefficients, towers, PROTOTYPES).tanh(),
            prototypes=self.protonet(p3),
            anchors=anchors_of(levels, self.anchor_sizes),
        )


def anchors_of(levels: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Return the anchors of all levels, float [A, 4], xyxy pixels, cell after cell."""
    found = []
    for level, size, stride in zip(levels, sizes, STRIDES, strict=True):
        height, width = level.shape[2:]
        roots = torch.tensor(ASPECT_RATIOS, device=level.device).sqrt()
        # Ratios are height to width, as everywhere in detection.
        half = torch.stack([size / roots, size * roots], dim=1) / 2
        y = (torch.arange(height, device=level.device) + 0.5) * stride
        x = (torch.arange(width, device=level.device) + 0.5) * stride
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[:, :, None]
        found.append(torch.cat([centres - half, centres + half], dim=-1).reshape(-1, 4))
    return torch.cat(found)


def fast_nms(boxes: Tensor, scores: Tensor) -> Tensor:
    """Return which boxes no better one of the same class overlaps, bool [C, N].

    boxes: float [C, N, 4], xyxy, by falling score within each class; scores: float [C, N].
    A box is removed by a better one with more IoU than NMS_IOU even where that one is
    removed itself: one matrix, no loop, no wait for the device. Section 4.1 of the paper.
    """
    iou = torch.stack([box_iou(of_class, of_class) for of_class in boxes])
    # What is padded (score 0) neither stays nor removes.
    worst = iou.triu(diagonal=1).amax(dim=1)
    return (worst <= NMS_IOU) & (scores > 0)


def detect(
    raw: RawInstances,
    index: int,
    image_size: tuple[int, int],
    detections: int,
    score_threshold: float,
) -> StaticInstances:
    """Return the detections of one image of a batch, always `detections` of them.

    image_size: (H, W) in pixels, which boxes are clipped to; score_threshold: 0..1, what
    lies below it is not valid.
    """
    scores = raw.logits[index].softmax(-1)[:, 1:].T
    scores = torch.where(scores >= score_threshold, scores, 0)
    count = min(CANDIDATES, scores.shape[1])
    best, anchors = scores.topk(count, dim=1)
    deltas, priors = raw.boxes[index][anchors], raw.anchors[anchors]
    boxes = BoxCoder(BOX_WEIGHTS).decode_single(deltas.flatten(0, 1), priors.flatten(0, 1))
    boxes = clip_boxes_to_image(boxes, image_size).view(*anchors.shape, 4)
    kept = fast_nms(boxes, best)
    ranked = torch.where(kept, best, 0).flatten()
    total = min(detections, ranked.numel())
    scores, order = ranked.topk(total)
    labels = torch.arange(1, len(boxes) + 1, device=boxes.device)[:, None].expand(anchors.shape)
    return StaticInstances(
        boxes=boxes.flatten(0, 1)[order],
        labels=labels.flatten()[order],
        scores=scores,
        coefficients=raw.coefficients[index][anchors.flatten()[order]],
        valid=scores > 0,
    )


def mask_logits(coefficients: Tensor, prototypes: Tensor) -> Tensor:
    """Return each instance's mask logits over the image, float [N, h, w].

    coefficients: [N, P]; prototypes: [P, h, w]. Equation 1 of the paper before its sigmoid.
    """
    return torch.einsum("np,phw->nhw", coefficients, prototypes)


def box_masks(coefficients: Tensor, prototypes: Tensor, boxes: Tensor, image_width: int) -> Tensor:
    """Return each instance's probabilities at the grid of its box, float [N, M, M].

    coefficients: [N, P]; prototypes: [P, h, w]; boxes: [N, 4], xyxy pixels of the image. The mask
    is drawn, then sampled as an aligned RoIAlign does with one sample a bin, one axis after the
    other. All of it is linear; sampling every prototype would cost more.
    """
    # In float32 on a GPU, too: half precision would move the samples.
    with torch.autocast(prototypes.device.type, enabled=False):
        drawn = mask_logits(coefficients.float(), prototypes.float())
        ends = boxes.float() * (prototypes.shape[2] / image_width)
        columns = _sampling(ends[:, 0::2], drawn.shape[2])
        rows = _sampling(ends[:, 1::2], drawn.shape[1])
        # No `@`: its factors would be rounded to int8 where a graph computes in that.
        sampled = torch.einsum("nih,nhw->niw", rows, drawn)
        return torch.einsum("niw,njw->nij", sampled, columns).sigmoid()


def _sampling(ends: Tensor, length: int) -> Tensor:
    """Return the weights of a line's pixels at the centres of M bins, float [N, M, length].

    ends: [N, 2], between which the bins lie, in pixels.
    """
    centres = (torch.arange(MASK_SIDE, device=ends.device) + 0.5) / MASK_SIDE
    places = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * centres - 0.5
    pixels = torch.arange(length, device=ends.device)
    return (1 - (places.clamp(0, length - 1)[:, :, None] - pixels).abs()).clamp_min(0)


def losses(
    raw: RawInstances, semantic: Tensor, targets: Sequence[dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the weighted losses of a batch, each a scalar.

    semantic: class logits of the head's `semantic` layer on P3, [B, classes, h, w]; targets:
    per image boxes [N, 4] (xyxy pixels), labels [N] (1..classes), masks [N, H, W] (0 or 1).
    """
    parts = [_image_losses(raw, semantic[i], i, target) for i, target in enumerate(targets)]
    return {
        name: weight * torch.stack([part[name] for part in parts]).mean()
        for name, weight in LOSS_WEIGHTS.items()
    }


def _image_losses(
    raw: RawInstances, semantic: Tensor, index: int, target: dict[str, Tensor]
) -> dict[str, Tensor]:
    matched, best = _match(raw.anchors, target["boxes"])
    positive = best >= POSITIVE_IOU
    labels = torch.zeros_like(matched)
    if len(target["boxes"]):
        labels = torch.where(positive, target["labels"][matched], 0)
    return {
        "confidence": _confidence_loss(raw.logits[index], labels, best),
        "box": _box_loss(raw, index, positive, matched, target["boxes"]),
        "mask": _mask_loss(raw, index, positive, matched, target),
        "semantic": _semantic_loss(semantic, target),
    }


def _match(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return each anchor's true box and their IoU; every box takes its best anchor."""
    if not len(boxes):
        nothing = torch.zeros(len(anchors), device=anchors.device)
        return nothing.long(), nothing
    iou = box_iou(anchors, boxes)
    best, matched = iou.max(dim=1)
    own = iou.argmax(dim=0)
    matched[own] = torch.arange(len(boxes), device=boxes.device)
    best[own] = 1.0
    return matched, best


def _confidence_loss(logits: Tensor, labels: Tensor, iou: Tensor) -> Tensor:
    """Return cross-entropy over positives and the three times as many hardest negatives."""
    loss = F.cross_entropy(logits, labels, reduction="none")
    positive = labels > 0
    count = positive.sum()
    hardness = torch.where((iou < NEGATIVE_IOU) & ~positive, loss.detach(), -1.0)
    rank = hardness.argsort(descending=True).argsort()
    negative = (rank < NEGATIVES_PER_POSITIVE * count.clamp(min=1)) & (hardness >= 0)
    return loss[positive | negative].sum() / count.clamp(min=1)


def _box_loss(
    raw: RawInstances, index: int, positive: Tensor, matched: Tensor, boxes: Tensor
) -> Tensor:
    if not len(boxes):
        return raw.boxes[index].sum() * 0
    truth = BoxCoder(BOX_WEIGHTS).encode_single(boxes[matched[positive]], raw.anchors[positive])
    found = raw.boxes[index][positive]
    return F.smooth_l1_loss(found, truth, reduction="sum") / max(1, len(truth))


def _mask_loss(
    raw: RawInstances, index: int, positive: Tensor, matched: Tensor, target: dict[str, Tensor]
) -> Tensor:
    """Return binary cross-entropy inside the true boxes, over the boxes' areas."""
    prototypes = raw.prototypes[index]
    (chosen,) = torch.where(positive)
    if not len(chosen):
        return (prototypes.sum() + raw.coefficients[index].sum()) * 0
    chosen = chosen[torch.randperm(len(chosen), device=chosen.device)[:MASKS_TO_TRAIN]]
    own = matched[chosen]
    size = (int(prototypes.shape[1]), int(prototypes.shape[2]))
    truth = F.interpolate(target["masks"][:, None].float(), size, mode="bilinear")[:, 0]
    logits = mask_logits(raw.coefficients[index][chosen], prototypes)
    loss = F.binary_cross_entropy_with_logits(logits, (truth[own] > 0.5).float(), reduction="none")
    boxes = target["boxes"][own] * (size[1] / target["masks"].shape[2])
    inside = _inside(boxes, size)
    area = inside.sum((1, 2)).clamp(min=1)
    return ((loss * inside).sum((1, 2)) / area).mean()


def _inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the pixels whose centres each box holds, bool [N, h, w]."""
    x0, y0, x1, y1 = boxes[:, :, None, None].unbind(1)
    y = torch.arange(size[0], device=boxes.device)[:, None] + 0.5
    x = torch.arange(size[1], device=boxes.device) + 0.5
    return (x >= x0) & (x < x1) & (y >= y0) & (y < y1)


def _semantic_loss(logits: Tensor, target: dict[str, Tensor]) -> Tensor:
    """Return binary cross-entropy of each class's union of masks."""
    truth = torch.zeros_like(logits)
    if len(target["boxes"]):
        size = tuple(logits.shape[1:])
        masks = F.interpolate(target["masks"][:, None].float(), size, mode="bilinear")[:, 0]
        for label, mask in zip(target["labels"].tolist(), masks > 0.5, strict=True):
            truth[label - 1][mask] = 1
    return F.binary_cross_entropy_with_logits(logits, truth)


def _per_anchor(layer: nn.Module, towers: Sequence[Tensor], width: int) -> Tensor:
    """Return a layer's output on all levels, [B, A, width], in the order of `anchors_of`."""
    return torch.cat(
        [layer(t).permute(0, 2, 3, 1).reshape(len(t), -1, width) for t in towers], dim=1
    )


def _start_as_background(layer: nn.Conv2d, num_classes: int) -> None:
    """Let each class start at a probability of one in a hundred, so that training starts stably."""
    nn.init.normal_(layer.weight, std=0.01)
    with torch.no_grad():
        bias = torch.zeros(num_classes + 1)
        bias[0] = math.log(0.99 / (0.01 / num_classes))
        assert layer.bias is not None  # a convolution's has one by default
        layer.bias.copy_(bias.repeat(len(ASPECT_RATIOS)))
