"""Anchors, region pooling and the choice of boxes where detectron2 differs from torchvision.

A network gives the numbers it was trained for only with the conventions it was trained with.
Source: facebookresearch/detectron2, version 0.6.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import batched_nms, clip_boxes_to_image, roi_align
from torchvision.ops._utils import convert_boxes_to_roi_format

# Lin et al. 2017, equation 1: a region of this side is pooled from the level of this stride.
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4
# Keeps the logarithm of an empty region finite.
EPSILON = 1e-8


class ExactAnchors(AnchorGenerator):
    """Place anchors of unrounded size at the pyramid's nominal strides.

    torchvision rounds the sizes, and divides the padded image by the level's size, which
    gives 48 instead of 64 for the last level of an image 96 pixels high.
    """

    def generate_anchors(
        self,
        scales: list[int],
        aspect_ratios: list[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return the anchors around the origin, float [scales * ratios, 4], xyxy."""
        sides = torch.as_tensor(scales, dtype=dtype, device=device)
        roots = torch.as_tensor(aspect_ratios, dtype=dtype, device=device).sqrt()
        widths, heights = (sides / roots[:, None]).flatten(), (sides * roots[:, None]).flatten()
        return torch.stack([-widths, -heights, widths, heights], dim=1) / 2

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Return the anchors of each image over all levels, float [A, 4], xyxy pixels."""
        self.set_cell_anchors(feature_maps[0].dtype, feature_maps[0].device)
        grids = [list(features.shape[-2:]) for features in feature_maps]
        strides = [[4 << level] * 2 for level in range(len(feature_maps))]
        anchors = torch.cat(self.grid_anchors(grids, strides))
        return [anchors] * len(image_list.image_sizes)


class AlignedRoIAlign(nn.Module):
    """Pool regions from the pyramid level of their size, with half-pixel-aligned ROIAlign.

    Each bin takes as many samples as it has pixels. output_size: side of the pooled map.
    """

    def __init__(self, featmap_names: list[str], output_size: int) -> None:
        super().__init__()
        self.featmap_names = featmap_names
        # The name and the form under which torchvision's detectors look it up.
        self.output_size = (output_size, output_size)

    def forward(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return pooled features [R, C, S, S] of all images' boxes (xyxy pixels), in order.

        features: [B, C, H, W] per level; image_shapes: unused, as strides are nominal.
        """
        levels = [features[name] for name in self.featmap_names]
        rois = convert_boxes_to_roi_format(boxes)
        of = self._levels(rois[:, 1:])
        pooled = levels[0].new_zeros(len(rois), levels[0].shape[1], *self.output_size)
        for level, level_features in enumerate(levels):
            (chosen,) = torch.where(of == level)
            pooled[chosen] = roi_align(
                level_features,
                rois[chosen],
                self.output_size,
                spatial_scale=1 / (4 << level),
                sampling_ratio=0,
                aligned=True,
            ).to(pooled.dtype)
        return pooled

    def _levels(self, boxes: Tensor) -> Tensor:
        sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
        level = torch.floor(CANONICAL_LEVEL + torch.log2(sides / CANONICAL_SIDE + EPSILON))
        # The finest level has stride 4 = 2^2.
        return level.clamp(2, len(self.featmap_names) + 1).long() - 2


class LogitRankedRPN(RegionProposalNetwork):
    """Choose proposals as RegionProposalNetwork does, ranked by logit, none but empty ones dropped.

    torchvision ranks by probability, which is 1 for every logit above 17, and drops sides
    below 0.001 pixel.
    """

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: list[tuple[int, int]],
        num_anchors_per_level: list[int],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return boxes [P, 4] (xyxy pixels) and logits [P] of each image, by falling logit.

        proposals: [B, A, 4]; objectness: [B * A, 1]; A anchors, level after level.
        """
        logits = objectness.detach().reshape(len(proposals), -1)
        best = self._get_top_n_idx(logits, num_anchors_per_level)
        counts = torch.tensor(num_anchors_per_level, device=logits.device)
        levels = torch.repeat_interleave(torch.arange(len(counts), device=logits.device), counts)
        chosen = [
            self._choose(clip_boxes_to_image(boxes[index], shape), scores[index], levels[index])
            for boxes, scores, index, shape in zip(
                proposals, logits, best, image_shapes, strict=True
            )
        ]
        found_boxes, found_logits = zip(*chosen, strict=True)
        return list(found_boxes), list(found_logits)

    def _choose(self, boxes: Tensor, logits: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
        kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1) & logits.isfinite()
        boxes, logits, levels = boxes[kept], logits[kept], levels[kept]
        first = batched_nms(boxes, logits, levels, self.nms_thresh)[: self.post_nms_top_n()]
        return boxes[first], logits[first]


class LateRemovalRoIHeads(RoIHeads):
    """Select boxes as RoIHeads do, without dropping small ones before they are ranked.

    torchvision drops sides below 0.01 pixel first, which lets other boxes move up into the
    limited number of detections.
    """

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return boxes [N, 4], scores [N] and labels [N] of each image, by falling score."""
        counts = [len(p) for p in proposals]
        boxes = self.box_coder.decode(box_regression, proposals).split(counts)
        scores = class_logits.softmax(-1).split(counts)
        chosen = [self._select(*image) for image in zip(boxes, scores, image_shapes, strict=True)]
        found_boxes, found_scores, labels = zip(*chosen, strict=True)
        return list(found_boxes), list(found_scores), list(labels)

    def _select(
        self, boxes: Tensor, scores: Tensor, image_shape: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        boxes = clip_boxes_to_image(boxes, image_shape)[:, 1:]
        is_found = scores[:, 1:] > self.score_thresh
        labels = is_found.nonzero()[:, 1] + 1
        boxes, scores = boxes[is_found], scores[:, 1:][is_found]
        kept = batched_nms(boxes, scores, labels, self.nms_thresh)[: self.detections_per_img]
        return boxes[kept], scores[kept], labels[kept]
