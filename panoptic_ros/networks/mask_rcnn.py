"""Mask R-CNN on torchvision, with masks as the detector gives them.

Sources: He et al. 2017, "Mask R-CNN"; Lin et al. 2017, "Feature Pyramid Networks".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet50
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

ASPECT_RATIOS = (0.5, 1.0, 2.0)
BOX_RESOLUTION = 7
MASK_RESOLUTION = 14
PYRAMID_LEVELS = ["0", "1", "2", "3"]


class FixedSizeTransform(GeneralizedRCNNTransform):
    """Normalise and batch images; leave their size, and the detections, as they are.

    Resizing is the predictor's and the data loader's work, which also know the image that
    the boxes belong to. torchvision's own postprocess pastes each mask to the full image.
    """

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
        """Return the detections untouched: masks [N, 1, 28, 28] in the frames of their boxes."""
        return result


class MaskRCNNDetector(MaskRCNN):
    """Detect and segment the instances of thing classes.

    Called as torchvision's detectors: `network(images, targets)` gives the losses in training
    mode; `network(images)` gives per image boxes [N, 4] (xyxy, pixels of that image), labels
    [N] (1..num_classes), scores [N] (0..1) and masks [N, 1, 28, 28] (probabilities in the
    box's frame) in evaluation mode. images: float [3, H, W] each, RGB, 0..1.

    num_classes: thing classes, without the background.
    backbone: mobilenet_v2_fpn or resnet50_fpn, with random weights.
    fpn_channels, box_channels, mask_channels: widths of the pyramid, of the box head's two
        linear layers, and of each convolution of the mask head.
    anchor_sizes: side of the anchors in pixels, one for each of the five pyramid levels.
    proposals: regions that reach the box head in evaluation mode (twice as many in training).
    detections: most instances per image.
    score_threshold: detections below it are not segmented, 0..1.
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
    ) -> None:
        if backbone not in BACKBONES:
            raise ValueError(f"unknown backbone {backbone!r}; known: {', '.join(BACKBONES)}")
        if len(anchor_sizes) != len(PYRAMID_LEVELS) + 1:
            raise ValueError(
                f"anchor_sizes has {len(anchor_sizes)} entries; "
                f"the pyramid has {len(PYRAMID_LEVELS) + 1} levels"
            )
        outputs = num_classes + 1
        super().__init__(
            BACKBONES[backbone](fpn_channels),
            rpn_anchor_generator=AnchorGenerator(
                tuple((size,) for size in anchor_sizes), (ASPECT_RATIOS,) * len(anchor_sizes)
            ),
            rpn_pre_nms_top_n_train=2 * proposals,
            rpn_pre_nms_top_n_test=proposals,
            rpn_post_nms_top_n_train=2 * proposals,
            rpn_post_nms_top_n_test=proposals,
            box_roi_pool=MultiScaleRoIAlign(PYRAMID_LEVELS, BOX_RESOLUTION, 2),
            box_head=TwoMLPHead(fpn_channels * BOX_RESOLUTION**2, box_channels),
            box_predictor=FastRCNNPredictor(box_channels, outputs),
            box_score_thresh=score_threshold,
            box_detections_per_img=detections,
            mask_roi_pool=MultiScaleRoIAlign(PYRAMID_LEVELS, MASK_RESOLUTION, 2),
            mask_head=MaskRCNNHeads(fpn_channels, mask_channels, dilation=1),
            mask_predictor=MaskRCNNPredictor(mask_channels[-1], mask_channels[-1], outputs),
        )
        self.num_classes = num_classes
        normalisation = self.transform
        # The sizes are torchvision's defaults; this transform does not read them.
        self.transform = FixedSizeTransform(
            normalisation.min_size,
            normalisation.max_size,
            normalisation.image_mean,
            normalisation.image_std,
        )


def mobilenet_v2_fpn(channels: int) -> BackboneWithFPN:
    """Return a feature pyramid (strides 4, 8, 16, 32 and 64) on MobileNetV2."""
    # Without the last convolution (1280 channels), which serves the image classifier.
    features = mobilenet_v2(weights=None).features[:-1]
    layers = {"3": 24, "6": 32, "13": 96, "17": 320}
    return _with_fpn(features, layers, channels)


def resnet50_fpn(channels: int) -> BackboneWithFPN:
    """Return a feature pyramid (strides 4, 8, 16, 32 and 64) on ResNet-50."""
    layers = {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}
    return _with_fpn(resnet50(weights=None), layers, channels)


def _with_fpn(body: nn.Module, layers: dict[str, int], channels: int) -> BackboneWithFPN:
    levels = dict(zip(layers, PYRAMID_LEVELS, strict=True))
    return BackboneWithFPN(body, levels, list(layers.values()), channels)


BACKBONES: dict[str, Callable[[int], BackboneWithFPN]] = {
    "mobilenet_v2_fpn": mobilenet_v2_fpn,
    "resnet50_fpn": resnet50_fpn,
}
