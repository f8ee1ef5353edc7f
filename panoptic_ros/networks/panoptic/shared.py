"""One backbone for both predictions: stuff and things from one pass over the image.

The report's outlook (Inria RT-0506), and the form of all the systems that it compares itself
with: a feature pyramid, a semantic head and an instance head, named by the model file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import roi_align
from torchvision.ops._utils import convert_boxes_to_roi_format

from panoptic_ros.networks.instances import yolact
from panoptic_ros.networks.instances.yolact import YolactHead
from panoptic_ros.networks.mask_rcnn import NORMALISATIONS, MaskRCNNDetector
from panoptic_ros.networks.parameters import check_parameters
from panoptic_ros.networks.pyramids import BACKBONES, PYRAMID_LEVELS, known, norm_layer
from panoptic_ros.networks.semantic.attention_branch import AttentionBranch
from panoptic_ros.networks.semantic.deformable_subnet import DeformableSubnet
from panoptic_ros.networks.semantic.fpn_branch import FpnBranch
from panoptic_ros.networks.semantic.pyramid_pooling import PyramidPooling
from panoptic_ros.networks.semantic.stacked_convolutions import StackedConvolutions

# Sides of an image are multiples of it: every level of the pyramid has whole cells.
STRIDE = 32

Target = dict[str, Tensor]


@dataclass(frozen=True)
class SharedOutput:
    """Hold what one pass gives.

    logits: float [B, C, h, w] of all classes; instances: per image boxes [N, 4] (xyxy
    pixels), labels [N] (1.. in the order of the thing classes), scores [N] and masks
    [N, M, M] (probabilities in the box's frame), empty in training mode; losses: of the
    instances, in training mode; features: the pyramid, by level.
    """

    logits: Tensor
    instances: list[dict[str, Tensor]]
    losses: dict[str, Tensor]
    features: dict[str, Tensor]


class RegionHead(nn.Module):
    """Find instances with Mask R-CNN's two stages on a pyramid that others use too.

    settings: of `MaskRCNNDetector`, but for backbone and fpn_channels.
    """

    answer_layers = MaskRCNNDetector.answer_layers

    def __init__(self, num_classes: int, fpn_channels: int, **settings: Any) -> None:
        super().__init__()
        check_parameters(MaskRCNNDetector, settings)
        detector = MaskRCNNDetector(num_classes, fpn_channels=fpn_channels, **settings)
        self.rpn, self.roi_heads = detector.rpn, detector.roi_heads
        self.transform = detector.transform

    def forward(
        self, images: Tensor, features: Mapping[str, Tensor], targets: list[Target] | None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return the detections of each image, and the losses in training mode."""
        size = (images.shape[2], images.shape[3])
        batch = ImageList(images, [size] * len(images))
        proposals, rpn_losses = self.rpn(batch, dict(features), targets)
        found, losses = self.roi_heads(dict(features), proposals, batch.image_sizes, targets)
        found = self.transform.postprocess(found, batch.image_sizes, batch.image_sizes)
        for instances in found:
            instances["masks"] = instances["masks"][:, 0]
        return found, {**rpn_losses, **losses}

    def true_masks(
        self, features: Mapping[str, Tensor], targets: list[Target], size: tuple[int, int]
    ) -> list[Tensor]:
        """Return the mask head's logits of true instances, their own class's, [N, M, M] each.

        targets: boxes [N, 4] (xyxy pixels) and labels [N] of each image; size: the images'.
        """
        boxes = [target["boxes"] for target in targets]
        regions = self.roi_heads.mask_roi_pool(dict(features), boxes, [size] * len(boxes))
        logits = self.roi_heads.mask_predictor(self.roi_heads.mask_head(regions))
        labels = torch.cat([target["labels"] for target in targets])
        of_class = logits[torch.arange(len(labels), device=labels.device), labels]
        return list(of_class.split([len(b) for b in boxes]))

    def foreground(
        self, features: Sequence[Tensor], found: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return what AUNet's branch attends to: RPN features, masks [R, 1, M, M], boxes [R, 5].

        In training mode nothing is detected, so there are no masks: callers give true ones.
        """
        rpn = [self.rpn.head.conv(level) for level in features]
        masks = [f["masks"][:, None] for f in found]
        return rpn, torch.cat(masks), convert_boxes_to_roi_format([f["boxes"] for f in found])


class OneStageHead(nn.Module):
    """Find instances with YOLACT on a pyramid that others use too.

    detections: number of instances that is always given; score_threshold: below it they are
    not valid and left out, 0..1.
    """

    def __init__(
        self,
        num_classes: int,
        fpn_channels: int,
        detections: int = 100,
        score_threshold: float = 0.05,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.head = YolactHead(fpn_channels, num_classes, **settings)
        self.detections = detections
        self.score_threshold = score_threshold

    @property
    def answer_layers(self) -> tuple[nn.Module, ...]:
        """Layers whose answers boxes, scores and masks are chosen from."""
        return self.head.classes, self.head.boxes, self.head.coefficients

    def forward(
        self, images: Tensor, features: Mapping[str, Tensor], targets: list[Target] | None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return the detections of each image, or the losses in training mode."""
        levels = [features[name] for name in PYRAMID_LEVELS[1:]]
        raw = self.head(levels)
        if self.training:
            losses = yolact.losses(raw, self.head.semantic(levels[0]), targets or [])
            return [], {f"loss_{name}": value for name, value in losses.items()}
        size = (images.shape[2], images.shape[3])
        return [self._instances(raw, i, size) for i in range(len(images))], {}

    def _instances(
        self, raw: yolact.RawInstances, index: int, size: tuple[int, int]
    ) -> dict[str, Tensor]:
        found = yolact.detect(raw, index, size, self.detections, self.score_threshold)
        x0, y0, x1, y1 = found.boxes.unbind(1)
        kept = found.valid & (x1 > x0) & (y1 > y0)
        boxes, coefficients = found.boxes[kept], found.coefficients[kept]
        masks = yolact.box_masks(coefficients, raw.prototypes[index], boxes, size[1])
        return {
            "boxes": boxes,
            "labels": found.labels[kept],
            "scores": found.scores[kept],
            "masks": masks,
        }


SEMANTIC_HEADS: dict[str, Callable[..., nn.Module]] = {
    "fpn_branch": FpnBranch,
    "deformable_subnet": DeformableSubnet,
    "pyramid_pooling": PyramidPooling,
    "stacked_convolutions": StackedConvolutions,
    "attention_branch": AttentionBranch,
}
INSTANCE_HEADS: dict[str, Callable[..., nn.Module]] = {
    "mask_rcnn": RegionHead,
    "yolact": OneStageHead,
}


class SharedPanopticNetwork(nn.Module):
    """Predict stuff and things from one feature pyramid.

    num_classes: channels of the semantic logits; num_things: thing classes; backbone: a key of
    BACKBONES, with random weights; fpn_channels: width of the pyramid; semantic, instances:
    `name`, a key of SEMANTIC_HEADS or INSTANCE_HEADS, and that head's own parameters.
    Raise ValueError for an unknown name.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        num_classes: int,
        num_things: int,
        backbone: str = "mobilenet_v2_fpn",
        fpn_channels: int = 96,
        semantic: Mapping[str, Any] | None = None,
        instances: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_things = num_classes, num_things
        self.backbone = known("backbone", backbone, BACKBONES)(
            fpn_channels, norm_layer("batch", 1e-5), None
        )
        kind, settings = _split("instances", instances or {"name": "mask_rcnn"}, INSTANCE_HEADS)
        self.instances = kind(num_things, fpn_channels, **settings)
        kind, settings = _split("semantic", semantic or {"name": "fpn_branch"}, SEMANTIC_HEADS)
        if kind is AttentionBranch:
            if not isinstance(self.instances, RegionHead):
                raise ValueError("semantic: attention_branch attends to mask_rcnn's regions")
            settings = {"rpn_channels": fpn_channels, "mask_channels": 1, **settings}
        self.semantic = kind(fpn_channels, num_classes, **settings)
        imagenet = NORMALISATIONS["torch"]
        self.register_buffer("mean", torch.tensor(imagenet.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(imagenet.std).view(3, 1, 1), persistent=False)

    @property
    def answer_layers(self) -> tuple[nn.Module, ...]:
        """Layers whose answers boxes, scores and masks are chosen from."""
        return self.instances.answer_layers

    def forward(self, images: Tensor, targets: list[Target] | None = None) -> SharedOutput:
        """Return both predictions; in training mode the instances' losses in place of theirs.

        images: float [B, 3, H, W], RGB, 0..1, sides multiples of 32; targets: per image boxes
        [N, 4] (xyxy pixels), labels [N] (1..), masks uint8 [N, H, W].
        Raise ValueError for other sides.
        """
        features = self.features(images)
        found, losses = self.instances(images, features, targets)
        return SharedOutput(self.logits(features, found, targets), found, losses, features)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the pyramid of images as `forward` takes them, by level."""
        if images.shape[2] % STRIDE or images.shape[3] % STRIDE:
            raise ValueError(
                f"images are {images.shape[3]} x {images.shape[2]} pixels; "
                f"both sides must be multiples of {STRIDE}"
            )
        return self.backbone((images - self.mean) / self.std)

    def logits(
        self,
        features: Mapping[str, Tensor],
        found: list[dict[str, Tensor]],
        targets: list[Target] | None = None,
    ) -> Tensor:
        """Return the semantic logits; found: the detections of each image, in evaluation mode."""
        levels = [features[name] for name in PYRAMID_LEVELS]
        if not isinstance(self.semantic, AttentionBranch):
            return self.semantic(levels)
        # In training the true masks guide, as the paper's mask head is trained beside it.
        guides = [_true_masks(t) for t in targets or []] if self.training else found
        return self.semantic(levels, *self.instances.foreground(levels, guides))


def _true_masks(target: Target) -> dict[str, Tensor]:
    """Return true instances as a detector gives them: masks in the frames of their boxes."""
    boxes = target["boxes"]
    index = torch.arange(len(boxes), device=boxes.device)[:, None].to(boxes)
    masks = roi_align(
        target["masks"][:, None].float(), torch.cat([index, boxes], 1), 28, aligned=True
    )
    return {"boxes": boxes, "masks": masks[:, 0]}


def _split(
    what: str, settings: Mapping[str, Any], heads: Mapping[str, Callable[..., nn.Module]]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    others = dict(settings)
    kind = known(what, others.pop("name", None), heads)
    check_parameters(kind, others)
    return kind, others
