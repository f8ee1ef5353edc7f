"""How the tensors of other projects' networks become those of ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from panoptic_ros.checkpoints.foreign import Declared
from panoptic_ros.labels import CITYSCAPES, COCO_TO_CITYSCAPES

# COCO's category ids run to 90, with gaps; torchvision's outputs are the ids themselves.
COCO_CLASSES = 90
SCORES = "roi_heads.box_predictor.cls_score"
BOXES = "roi_heads.box_predictor.bbox_pred"
MASKS = "roi_heads.mask_predictor.mask_fcn_logits"


@dataclass(frozen=True)
class Recipe:
    """Say how to fill one of our networks.

    architecture: what `networks.build` makes it from; theirs: their name of a tensor of ours;
    lacking: by our module's name, how many of its first rows (the background's) their tensor
    has not; background_last: their class scores end with the background, ours begin with it.
    """

    architecture: dict[str, Any]
    theirs: Callable[[str], str] = str
    lacking: Mapping[str, int] = field(default_factory=dict)
    background_last: bool = False


@dataclass(frozen=True)
class Kind:
    """Describe a kind of checkpoint.

    mark: a tensor that no other kind has; outputs: the tensor whose first side counts the
    network's outputs; needed: how many there must be, and for what; recipe: by the tensors found.
    """

    mark: str
    outputs: str
    needed: tuple[int, str]
    recipe: Callable[[Mapping[str, Declared]], Recipe]


def deeplabv3plus(found: Mapping[str, Declared]) -> Recipe:
    """Return the recipe of VainF/DeepLabV3Plus-Pytorch's MobileNetV2: our names are its own."""
    return Recipe({"name": "deeplabv3plus_mobilenetv2", "num_classes": len(CITYSCAPES)})


def detectron2_mask_rcnn(found: Mapping[str, Declared]) -> Recipe:
    """Return the recipe of detectron2's Mask R-CNN R50-FPN (MODEL_ZOO, Cityscapes)."""
    return Recipe(
        {
            "name": "mask_rcnn",
            "num_classes": len(CITYSCAPES.things),
            "backbone": "resnet50_msra_fpn",
            "norm": "frozen",
            "normalisation": "caffe",
            "exact_anchors": True,
            "aligned_pooling": True,
            "late_removal": True,
        },
        theirs=_detectron2_name,
        # It has neither a box nor a mask of the background.
        lacking={BOXES: 4, MASKS: 1},
        background_last=True,
    )


def torchvision_mask_rcnn(found: Mapping[str, Declared]) -> Recipe:
    """Return the recipe of torchvision's maskrcnn_resnet50_fpn or _v2, trained on COCO."""
    architecture = {
        "name": "mask_rcnn",
        "num_classes": COCO_CLASSES,
        "class_ids": [COCO_TO_CITYSCAPES.get(i, 0) for i in range(1, COCO_CLASSES + 1)],
    }
    if "rpn.head.conv.1.0.weight" in found:
        return Recipe(architecture | {"deep_heads": True})
    is_frozen = not any(name.endswith(".num_batches_tracked") for name in found)
    if is_frozen:
        # torchvision sets the norms' epsilon to 0 for these weights (overwrite_eps).
        architecture |= {"norm": "frozen", "norm_epsilon": 0.0}
    is_old = "rpn.head.conv.weight" in found
    return Recipe(architecture, theirs=_old_torchvision_name if is_old else str)


KINDS = {
    "deeplabv3plus": Kind(
        mark="backbone.low_level_features.0.0.weight",
        outputs="classifier.classifier.3.weight",
        needed=(len(CITYSCAPES), "Cityscapes"),
        recipe=deeplabv3plus,
    ),
    "detectron2_mask_rcnn": Kind(
        mark="proposal_generator.rpn_head.conv.weight",
        outputs=f"{SCORES}.weight",
        needed=(len(CITYSCAPES.things) + 1, "the things of Cityscapes and the background"),
        recipe=detectron2_mask_rcnn,
    ),
    "torchvision_mask_rcnn": Kind(
        mark="rpn.head.cls_logits.weight",
        outputs=f"{SCORES}.weight",
        needed=(COCO_CLASSES + 1, "COCO's category ids and the background"),
        recipe=torchvision_mask_rcnn,
    ),
}


def _old_torchvision_name(name: str) -> str:
    """Return the name that a tensor had before torchvision 0.14."""
    name = re.sub(r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1.", name)
    name = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
    return re.sub(r"mask_head\.(\d)\.0\.", lambda m: f"mask_head.mask_fcn{int(m[1]) + 1}.", name)


# Parts of our names, and detectron2's; indices that count from elsewhere are shifted after.
DETECTRON2_PARTS = (
    ("backbone.body.", "backbone.bottom_up."),
    ("bottom_up.conv1.", "bottom_up.stem.conv1."),
    ("bottom_up.bn1.", "bottom_up.stem.conv1.norm."),
    ("rpn.head.conv.0.0.", "proposal_generator.rpn_head.conv."),
    ("rpn.head.cls_logits.", "proposal_generator.rpn_head.objectness_logits."),
    ("rpn.head.bbox_pred.", "proposal_generator.rpn_head.anchor_deltas."),
    ("box_head.fc6.", "box_head.fc1."),
    ("box_head.fc7.", "box_head.fc2."),
    ("mask_predictor.conv5_mask.", "mask_head.deconv."),
    ("mask_predictor.mask_fcn_logits.", "mask_head.predictor."),
    (".downsample.0.", ".shortcut."),
    (".downsample.1.", ".shortcut.norm."),
)
DETECTRON2_INDEXED = (
    (r"bottom_up\.layer(\d)\.", "bottom_up.res{}.", 1),
    (r"\.bn(\d)\.", ".conv{}.norm.", 0),
    (r"fpn\.inner_blocks\.(\d)\.0\.", "fpn_lateral{}.", 2),
    (r"fpn\.layer_blocks\.(\d)\.0\.", "fpn_output{}.", 2),
    (r"mask_head\.(\d)\.0\.", "mask_head.mask_fcn{}.", 1),
)


def _detectron2_name(name: str) -> str:
    """Return detectron2's name of a tensor of ours.

    >>> _detectron2_name("backbone.body.layer1.0.bn2.bias")
    'backbone.bottom_up.res2.0.conv2.norm.bias'
    """
    for ours, theirs in DETECTRON2_PARTS:
        name = name.replace(ours, theirs)
    for pattern, theirs, shift in DETECTRON2_INDEXED:
        if found := re.search(pattern, name):
            name = re.sub(pattern, theirs.format(int(found[1]) + shift), name)
    return name
