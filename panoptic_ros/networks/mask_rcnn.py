"""Mask R-CNN of torchvision's parts, with masks as the detector gives them.

Sources: He et al. 2017, "Mask R-CNN"; Lin et al. 2017, "Feature Pyramid Networks".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import (
    FastRCNNConvFCHead,
    FastRCNNPredictor,
    TwoMLPHead,
)
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from panoptic_ros.networks.pyramids import BACKBONES, PYRAMID_LEVELS, Norm, known, norm_layer
from panoptic_ros.networks.regions import (
    AlignedRoIAlign,
    ExactAnchors,
    LateRemovalRoIHeads,
    LogitRankedRPN,
)

ASPECT_RATIOS = (0.5, 1.0, 2.0)
BOX_RESOLUTION = 7
MASK_RESOLUTION = 14
# The samples and IoU thresholds that both torchvision and detectron2 take from the papers.
RPN_RULES = {
    "fg_iou_thresh": 0.7,
    "bg_iou_thresh": 0.3,
    "batch_size_per_image": 256,
    "positive_fraction": 0.5,
    "nms_thresh": 0.7,
}
BOX_RULES = {
    "fg_iou_thresh": 0.5,
    "bg_iou_thresh": 0.5,
    "batch_size_per_image": 512,
    "positive_fraction": 0.25,
    "bbox_reg_weights": None,
    "nms_thresh": 0.5,
}


@dataclass(frozen=True)
class Normalisation:
    """Say what numbers a network takes: (pixel * scale - mean) / std, pixels 0..1."""

    is_bgr: bool
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# Named after the frameworks that made them customary; mean and std in the order of channels.
NORMALISATIONS = {
    "torch": Normalisation(False, 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Normalisation(True, 255.0, (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)),
}


class FixedSizeTransform(GeneralizedRCNNTransform):
    """Normalise and batch images; leave their size, and the detections, as they are.

    Resizing is the predictor's and the data loader's work, which also know the image that
    the boxes belong to. torchvision's own postprocess pastes each mask to the full image.
    """

    def __init__(self, normalisation: Normalisation) -> None:
        # The sizes are torchvision's defaults; this transform does not read them.
        super().__init__(800, 1333, list(normalisation.mean), list(normalisation.std))
        self.normalisation = normalisation

    def normalize(self, image: Tensor) -> Tensor:
        """Return an image, RGB in 0..1, in the network's own colour order and range."""
        if self.normalisation.is_bgr:
            image = image.flip(0)
        return super().normalize(image * self.normalisation.scale)

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Return the image and the target untouched."""
        return image, target

    def postprocess(
        self,
        result: list[dict[str, Tensor]],
        image_shapes: list[tuple[int, int]],
        original_image_sizes: list[tuple[int, int]],
    ) -> list[dict[str, Tensor]]:
        """Return the detections whose box is not empty, otherwise untouched.

        Masks stay [N, 1, 28, 28], in the frames of their boxes.
        """
        return [_without_empty(found) for found in result]


class MaskRCNNDetector(GeneralizedRCNN):
    """Detect and segment the instances of thing classes.

    Called as torchvision's detectors: `network(images, targets)` gives the losses in training
    mode; `network(images)` gives per image boxes [N, 4] (xyxy, pixels of that image), labels
    [N] (1..num_classes), scores [N] (0..1) and masks [N, 1, 28, 28] (probabilities in the
    box's frame) in evaluation mode. images: float [3, H, W] each, RGB, 0..1.

    num_classes: classes, without the background.
    backbone: a key of BACKBONES, with random weights.
    fpn_channels, box_channels, mask_channels: widths of the pyramid, of the box head's two
        linear layers, and of each convolution of the mask head.
    anchor_sizes: side of the anchors in pixels, one for each of the five pyramid levels.
    proposals: regions that reach the box head in evaluation mode (twice as many in training).
    detections: most instances per image.
    score_threshold: detections below it are not segmented, 0..1.
    class_ids: label id of each class, 0 for one that is not reported; None: the thing
        classes of the label set in use, in its order.
    norm, norm_epsilon: normalisation layers, a key of NORMS, and what keeps them finite.
    deep_heads: torchvision's second version: batch norm in pyramid and heads, two
        convolutions in the RPN's head, four and one linear layer in the box head.
    normalisation: a key of NORMALISATIONS.
    exact_anchors, aligned_pooling, late_removal: conventions of detectron2 instead of
        torchvision's, see `ExactAnchors`, `AlignedRoIAlign`, and `LogitRankedRPN` together with
        `LateRemovalRoIHeads`.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet50_fpn",
        fpn_channels: int = 256,
        box_channels: int = 1024,
        mask_channels: Sequence[int] = (256, 256, 256, 256),
        anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512),
        proposals: int = 1000,
        detections: int = 100,
        score_threshold: float = 0.05,
        class_ids: Sequence[int] | None = None,
        norm: str = "batch",
        norm_epsilon: float = 1e-5,
        deep_heads: bool = False,
        normalisation: str = "torch",
        exact_anchors: bool = False,
        aligned_pooling: bool = False,
        late_removal: bool = False,
    ) -> None:
        make_pyramid = known("backbone", backbone, BACKBONES)
        transform = FixedSizeTransform(known("normalisation", normalisation, NORMALISATIONS))
        _check_length("anchor_sizes", anchor_sizes, "the pyramid", len(PYRAMID_LEVELS) + 1)
        if class_ids is not None:
            _check_length("class_ids", class_ids, "the network", num_classes, "classes")
        head_norm = nn.BatchNorm2d if deep_heads else None
        pyramid = make_pyramid(fpn_channels, norm_layer(norm, norm_epsilon), head_norm)

        def pool(resolution: int) -> nn.Module:
            if aligned_pooling:
                return AlignedRoIAlign(PYRAMID_LEVELS, resolution)
            return MultiScaleRoIAlign(PYRAMID_LEVELS, resolution, 2)

        heads = (LateRemovalRoIHeads if late_removal else RoIHeads)(
            box_roi_pool=pool(BOX_RESOLUTION),
            box_head=_box_head(fpn_channels, box_channels, head_norm),
            box_predictor=FastRCNNPredictor(box_channels, num_classes + 1),
            mask_roi_pool=pool(MASK_RESOLUTION),
            mask_head=MaskRCNNHeads(fpn_channels, mask_channels, 1, norm_layer=head_norm),
            mask_predictor=MaskRCNNPredictor(mask_channels[-1], mask_channels[-1], num_classes + 1),
            score_thresh=score_threshold,
            detections_per_img=detections,
            **BOX_RULES,
        )
        anchors = (ExactAnchors if exact_anchors else AnchorGenerator)(
            tuple((size,) for size in anchor_sizes), (ASPECT_RATIOS,) * len(anchor_sizes)
        )
        limit = {"training": 2 * proposals, "testing": proposals}
        rpn = (LogitRankedRPN if late_removal else RegionProposalNetwork)(
            anchors,
            RPNHead(fpn_channels, len(ASPECT_RATIOS), conv_depth=2 if deep_heads else 1),
            pre_nms_top_n=limit,
            post_nms_top_n=limit,
            **RPN_RULES,
        )
        super().__init__(pyramid, rpn, heads, transform)
        self.num_classes = num_classes
        self.class_ids = None if class_ids is None else tuple(int(i) for i in class_ids)

    @property
    def answer_layers(self) -> tuple[nn.Module, ...]:
        """Layers whose answers boxes, scores and masks are chosen from."""
        return self.rpn.head, self.roi_heads.box_predictor, self.roi_heads.mask_predictor


def _box_head(channels: int, width: int, norm: Norm | None) -> nn.Module:
    if norm is None:
        return TwoMLPHead(channels * BOX_RESOLUTION**2, width)
    shape = (channels, BOX_RESOLUTION, BOX_RESOLUTION)
    return FastRCNNConvFCHead(shape, [channels] * 4, [width], norm_layer=norm)


def _without_empty(found: dict[str, Tensor]) -> dict[str, Tensor]:
    x0, y0, x1, y1 = found["boxes"].unbind(1)
    kept = (x1 > x0) & (y1 > y0)
    return {key: values[kept] for key, values in found.items()}


def _check_length(
    name: str, values: Sequence[int], owner: str, length: int, what: str = "levels"
) -> None:
    if len(values) != length:
        raise ValueError(f"{name} has {len(values)} entries; {owner} has {length} {what}")
