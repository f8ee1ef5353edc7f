"""Networks for one size of image, whose outputs have fixed shapes: what exporters and engines take.

Where the plain networks give as many regions as they find, these give a fixed number and say
which of them are valid. Nothing is selected before it is needed, so that the only step whose
result has an open length is the suppression of overlapping boxes.

With `unasked`, suppression has fixed shapes, too (networks/suppression.py): nothing asks the device
for a number, so that a CUDA graph can hold it all. Whether that was final is then `is_final`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import clip_boxes_to_image, nms, roi_align
from torchvision.ops.poolers import LevelMapper

from panoptic_ros.networks.deeplab import DeepLabV3Plus
from panoptic_ros.networks.instances import yolact
from panoptic_ros.networks.mask_rcnn import NORMALISATIONS, MaskRCNNDetector
from panoptic_ros.networks.panoptic.shared import OneStageHead, RegionHead, SharedPanopticNetwork
from panoptic_ros.networks.pyramids import PYRAMID_LEVELS
from panoptic_ros.networks.regions import AlignedRoIAlign, LateRemovalRoIHeads, LogitRankedRPN
from panoptic_ros.networks.suppression import best_of

Size = tuple[int, int]
# What torchvision pads the images of a batch to.
BATCH_STRIDE = 32
# Sides of boxes that torchvision drops, in pixels: proposals, and detections.
LEAST_PROPOSAL, LEAST_DETECTION = 1e-3, 1e-2


class StaticInstances(NamedTuple):
    """Hold a fixed number N of instances of an image, the valid ones first, by falling score.

    boxes: float [N, 4], xyxy pixels; labels: int64 [N], 1.., 0 where not valid; scores: float
    [N], 0 where not valid; masks: float [N, M, M], probabilities in the box's frame; valid:
    bool [N]. A network that answers with NaN or infinity gives scores of NaN.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor
    valid: Tensor


class StaticSemantic(nn.Module):
    """Score the pixels of one image, uint8 [1, 3, h, w], RGB: logits, float [1, C, h', w']."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: DeepLabV3Plus) -> None:
        super().__init__()
        self.network = network
        for name in ("mean", "std"):
            values = torch.tensor(getattr(NORMALISATIONS["torch"], name), device=_device(network))
            self.register_buffer(name, values.view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits."""
        return self.network((image.float() / 255 - self.mean) / self.std)


class StaticDetector(nn.Module):
    """Find a fixed number of instances in images of one size, uint8 [1, 3, h, w], RGB."""

    def __init__(self, network: MaskRCNNDetector, size: Size, unasked: bool = False) -> None:
        super().__init__()
        self.backbone, self.normalisation = network.backbone, network.transform.normalisation
        for name in ("mean", "std"):
            values = torch.tensor(getattr(self.normalisation, name), device=_device(network))
            self.register_buffer(name, values.view(3, 1, 1))
        # torchvision pads to whole strides, on the right and below.
        self.padding = (0, -size[1] % BATCH_STRIDE, 0, -size[0] % BATCH_STRIDE)
        padded = (size[0] + self.padding[3], size[1] + self.padding[1])
        rest = (size, padded, unasked)
        self.regions = _Regions(network.backbone, network.rpn, network.roi_heads, *rest)

    def forward(self, image: Tensor) -> StaticInstances:
        """Return the instances."""
        pixels = image.flip(1) if self.normalisation.is_bgr else image
        pixels = (pixels.float() / 255 * self.normalisation.scale - self.mean) / self.std
        return self.regions(self.backbone(F.pad(pixels, self.padding)))


class StaticSeparate(nn.Module):
    """Put two networks of their own behind one call, for images of one size."""

    def __init__(
        self, semantic: DeepLabV3Plus, detector: MaskRCNNDetector, size: Size, unasked: bool = False
    ) -> None:
        super().__init__()
        self.semantic = StaticSemantic(semantic)
        self.detector = StaticDetector(detector, size, unasked)

    @property
    def is_final(self) -> Tensor:
        """Whether suppression was final in the last call, bool []."""
        return self.detector.regions.is_final

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return logits [1, C, h', w'], then the fields of StaticInstances."""
        return (self.semantic(image), *self.detector(image))


class StaticShared(nn.Module):
    """Predict stuff and a fixed number of things from one pyramid, for images of one size.

    Raise ValueError for sides that are no multiples of 32.
    """

    def __init__(self, network: SharedPanopticNetwork, size: Size, unasked: bool = False) -> None:
        super().__init__()
        self.network = network
        self.size = size
        head = network.instances
        if isinstance(head, RegionHead):
            rest = (size, size, unasked)
            self.regions = _Regions(network.features, head.rpn, head.roi_heads, *rest)

    @property
    def is_final(self) -> Tensor:
        """Whether suppression was final in the last call, bool []."""
        if isinstance(self.network.instances, OneStageHead):
            return torch.ones((), dtype=torch.bool)
        return self.regions.is_final

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return logits [1, C, h', w'], then the fields of StaticInstances."""
        features = self.network.features(image.float() / 255)
        head = self.network.instances
        if isinstance(head, OneStageHead):
            found = _one_stage(head, features, self.size)
        else:
            found = self.regions(features)
        instances = [{"boxes": found.boxes, "masks": found.masks * found.valid[:, None, None]}]
        return (self.network.logits(features, instances), *found)


class _Regions(nn.Module):
    """Run both stages of Mask R-CNN on a pyramid, with torchvision's or detectron2's rules."""

    anchors: Tensor
    corners: Tensor
    scales: Tensor

    def __init__(
        self,
        backbone: Callable[[Tensor], dict[str, Tensor]],
        rpn: RegionProposalNetwork,
        roi_heads: RoIHeads,
        size: Size,
        padded: Size,
        unasked: bool,
    ) -> None:
        super().__init__()
        self.rpn, self.roi_heads, self.size, self.unasked = rpn, roi_heads, size, unasked
        device = _device(rpn)
        self.is_final = torch.ones((), dtype=torch.bool, device=device)
        with torch.no_grad():
            pixels = torch.zeros(1, 3, *padded, device=device)
            levels = list(backbone(pixels).values())
            anchors = rpn.anchor_generator(ImageList(pixels, [size]), levels)[0]
        self.register_buffer("anchors", anchors, persistent=False)
        corners, scales = _places([level.shape[2:] for level in levels[: len(PYRAMID_LEVELS)]])
        self.register_buffer("corners", torch.tensor(corners, device=device), persistent=False)
        self.register_buffer("scales", torch.tensor(scales, device=device), persistent=False)
        per_cell = rpn.anchor_generator.num_anchors_per_location()
        self.anchor_counts = [
            n * level.shape[2] * level.shape[3] for n, level in zip(per_cell, levels, strict=True)
        ]

    def forward(self, features: Mapping[str, Tensor]) -> StaticInstances:
        """Return the instances that the pyramid of one image shows."""
        # Boxes and scores in float32 also where autocast computes the layers in half precision.
        logits, deltas = (
            [t.float() for t in part] for part in self.rpn.head(list(features.values()))
        )
        proposals, known = self._proposals(logits, deltas)
        levels = [features[name] for name in PYRAMID_LEVELS]
        packed = _Packed(levels, self.corners, self.scales)
        heads = self.roi_heads
        regions = heads.box_head(packed.pool(proposals, heads.box_roi_pool))
        class_logits, regression = (t.float() for t in heads.box_predictor(regions))
        boxes, labels, scores, valid = self._detections(class_logits, regression, proposals, known)
        masks = heads.mask_predictor(heads.mask_head(packed.pool(boxes, heads.mask_roi_pool)))
        chosen = labels[:, None, None, None].expand(-1, 1, *masks.shape[2:])
        sums = [t.sum() for t in (*logits, *deltas, class_logits, regression, masks)]
        return _finished(
            boxes, labels, scores, masks.gather(1, chosen)[:, 0].sigmoid(), valid, sums
        )

    def _proposals(self, logits: list[Tensor], deltas: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the boxes that reach the second stage, [P, 4], and which of them are valid."""
        ranked = isinstance(self.rpn, LogitRankedRPN)
        scores, boxes, groups = [], [], []
        anchors = self.anchors.split(self.anchor_counts)
        for level, (of_level, delta, priors) in enumerate(
            zip(logits, deltas, anchors, strict=True)
        ):
            flat = of_level[0].permute(1, 2, 0).reshape(-1)
            rows = delta[0].reshape(-1, 4, *delta.shape[2:]).permute(2, 3, 0, 1).reshape(-1, 4)
            best, index = flat.topk(min(self.rpn.pre_nms_top_n(), len(priors)))
            boxes.append(self.rpn.box_coder.decode_single(rows[index], priors[index]))
            scores.append(best if ranked else best.sigmoid())
            groups.append(torch.full_like(index, level))
        found, score = clip_boxes_to_image(torch.cat(boxes), self.size), torch.cat(scores)
        sides = found[:, 2:] - found[:, :2]
        valid = (sides > 0 if ranked else sides >= LEAST_PROPOSAL).all(1) & score.isfinite()
        count = self.rpn.post_nms_top_n()
        rule = _Rule(len(logits), self.rpn.nms_thresh, count, max(self.size))
        self.is_final = torch.ones_like(self.is_final)
        kept, known = self._suppress(found, score, torch.cat(groups), valid, rule)
        return found[kept] * known[:, None], known

    def _detections(
        self, logits: Tensor, regression: Tensor, proposals: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return boxes [N, 4], labels, scores and validity [N] of the detections."""
        heads = self.roi_heads
        classes = logits.shape[1] - 1
        boxes = heads.box_coder.decode(regression, [proposals])
        boxes = clip_boxes_to_image(boxes, self.size)[:, 1:].reshape(-1, 4)
        scores = logits.softmax(-1)[:, 1:].reshape(-1)
        labels = torch.arange(1, classes + 1, device=boxes.device).repeat(len(proposals))
        valid = (scores > heads.score_thresh) & known[:, None].expand(-1, classes).reshape(-1)
        sides = boxes[:, 2:] - boxes[:, :2]
        late = isinstance(heads, LateRemovalRoIHeads)
        if not late:
            valid = valid & (sides >= LEAST_DETECTION).all(1)
        count = heads.detections_per_img
        rule = _Rule(classes + 1, heads.nms_thresh, count, max(self.size))
        kept, good = self._suppress(boxes, scores, labels, valid, rule)
        # What is empty took its place among the limited number, where it is removed late.
        good = good & (sides[kept] > 0).all(1)
        return boxes[kept], labels[kept], scores[kept], good

    def _suppress(
        self, boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, rule: _Rule
    ) -> tuple[Tensor, Tensor]:
        """Return what `_suppress` does, in the form that is wanted."""
        if not self.unasked:
            return _suppress(boxes, scores, groups, valid, rule)
        boxes = boxes.float()
        kept, good, final = best_of(boxes, scores, groups, valid, rule.threshold, rule.most)
        self.is_final = self.is_final & final
        return kept, good


class _Packed:
    """Hold the levels of a pyramid in one map, each with its border repeated around it.

    Regions of all levels are pooled by one call, with their coordinates moved: no region is
    sorted to its level, and each is computed once. The border repeats because pooling takes the
    outermost value for what lies up to a pixel beyond a map. corners, scales: as `_places` says.
    """

    def __init__(self, levels: Sequence[Tensor], corners: Tensor, scales: Tensor) -> None:
        first, *others = (F.pad(level, (1, 1, 1, 1), mode="replicate") for level in levels)
        height = max(level.shape[2] for level in others)
        beneath = torch.cat([F.pad(o, (0, 0, 0, height - o.shape[2])) for o in others], dim=3)
        width = max(first.shape[3], beneath.shape[3])
        rows = [F.pad(part, (0, width - part.shape[3])) for part in (first, beneath)]
        self._map = torch.cat(rows, dim=2)
        self._corners, self._scales = corners, scales

    def pool(self, boxes: Tensor, pooler: nn.Module) -> Tensor:
        """Return what a pooler of the plain network gives for boxes [N, 4]: [N, C, S, S]."""
        if aligned := isinstance(pooler, AlignedRoIAlign):
            levels = pooler._levels(boxes)
        else:
            levels = LevelMapper(2, 5)([boxes])
        placed = boxes * self._scales[levels][:, None] + self._corners[levels]
        rois = torch.cat([placed.new_zeros(len(boxes), 1), placed], dim=1)
        sampling = 0 if aligned else pooler.sampling_ratio
        return roi_align(self._map, rois, pooler.output_size, 1.0, sampling, aligned)


def _places(sizes: Sequence[Sequence[int]]) -> tuple[list[list[float]], list[float]]:
    """Return where each level lies in `_Packed`'s map, (x, y) twice, and its scale.

    sizes: (height, width) of the levels.
    """
    lefts, tops = [0, 0], [0] + [sizes[0][0] + 2] * (len(sizes) - 1)
    for _, width in sizes[1:-1]:
        lefts.append(lefts[-1] + width + 2)
    corners = [[left + 1.0, top + 1.0] * 2 for left, top in zip(lefts, tops, strict=True)]
    return corners, [1 / (4 << i) for i in range(len(sizes))]


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


class _Rule(NamedTuple):
    """Say how boxes are suppressed: how many groups, IoU, boxes that stay, the longest side."""

    group_count: int
    threshold: float
    most: int
    longest: int


def _suppress(
    boxes: Tensor, scores: Tensor, groups: Tensor, valid: Tensor, rule: _Rule
) -> tuple[Tensor, Tensor]:
    """Suppress overlapping boxes of the same group; return `count` indices and their validity.

    groups: int64 [N] below the rule's group_count. Equal to torchvision's `batched_nms` on the
    valid boxes, cut after `count`, and padded with what is not valid.
    """
    group_count, threshold, count, longest = rule
    least = scores.new_full((), torch.finfo(scores.dtype).min)
    _, order = torch.where(valid, scores, least).topk(len(boxes))
    # Each group lies in a place of its own, and so does what is not valid, in a single one.
    place = torch.where(valid, groups, group_count)[order]
    unit = boxes.new_tensor([0.0, 0.0, 1.0, 1.0])
    apart = torch.where(valid[order][:, None], boxes[order], unit) + place[:, None] * (longest + 1)
    # A falling ramp for scores: every runtime keeps this order, whatever it does with ties.
    ramp = torch.arange(len(boxes), 0, -1, device=boxes.device, dtype=torch.float32)
    kept = nms(apart.float(), ramp, threshold)
    filler = kept.new_full((count,), len(boxes) - 1)
    kept = torch.cat([kept, filler])[:count].reshape(count)
    chosen = order[kept]
    # The filler repeats the last place, which may hold a valid box.
    number = torch.arange(count, device=boxes.device)
    repeated = (number > 0) & (kept == torch.cat([kept[:1], kept[:-1]]))
    return chosen, valid[chosen] & ~repeated


def _one_stage(head: OneStageHead, features: Mapping[str, Tensor], size: Size) -> StaticInstances:
    """Return YOLACT's instances as `OneStageHead` gives them."""
    raw = head.head([features[name] for name in PYRAMID_LEVELS[1:]])
    found = yolact.detect(raw, 0, size, head.detections, head.score_threshold)
    valid = found.valid & (found.boxes[:, 2:] > found.boxes[:, :2]).all(1)
    masks = yolact.box_masks(found.coefficients, raw.prototypes[0], found.boxes, size[1])
    sums = [t.sum() for t in (raw.logits, raw.boxes, raw.coefficients)]
    return _finished(found.boxes, found.labels, found.scores, masks, valid, sums)


def _finished(
    boxes: Tensor, labels: Tensor, scores: Tensor, masks: Tensor, valid: Tensor, sums: list[Tensor]
) -> StaticInstances:
    """Return instances, those that are not valid emptied, and NaN where a sum is not finite."""
    scores = torch.where(torch.stack(sums).isfinite().all(), scores * valid, float("nan"))
    return StaticInstances(boxes * valid[:, None], labels * valid, scores, masks, valid)
