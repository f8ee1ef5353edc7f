"""The heuristic of report RT-0506: detector masks by falling score over the stuff."""

from __future__ import annotations

from panoptic_ros.fusion.merge import USUAL, Candidates, FusionOptions, merge, select
from panoptic_ros.fusion.on_device import masks_on_device, merge_on_device
from panoptic_ros.prediction import (
    InstancePrediction,
    MaskCrop,
    PanopticPrediction,
    SemanticPrediction,
)
from panoptic_ros.upsampling import Box, box_tuples, pasted, pixel_boxes


def stack(
    semantic: SemanticPrediction, instances: InstancePrediction, options: FusionOptions = USUAL
) -> PanopticPrediction:
    """Merge both predictions of an image by stacking the detector's masks.

    Source: Inria report RT-0506, section on the baseline; the merge rules are those of
    `fusion.merge.merge`.
    """
    candidates = select(semantic, instances, options)
    if semantic.logits.device.type != "cpu":
        boxes = detector_boxes(semantic, candidates)
        return merge_on_device(semantic, candidates, boxes, options)
    return merge(semantic, candidates, detector_masks(semantic, candidates, options), options)


def detector_masks(
    semantic: SemanticPrediction, candidates: Candidates, options: FusionOptions
) -> list[MaskCrop]:
    """Return each candidate's mask as the detector has it, bool, pasted inside its box only."""
    if semantic.logits.device.type != "cpu":
        boxes = detector_boxes(semantic, candidates)
        return masks_on_device(semantic, candidates, boxes, options)
    return [
        MaskCrop(box, values >= options.mask_threshold)
        for box, values in pasted(candidates.boxes, candidates.masks, semantic.image_size)
    ]


def detector_boxes(semantic: SemanticPrediction, candidates: Candidates) -> list[Box]:
    """Return the pixels in each candidate's box."""
    return box_tuples(pixel_boxes(candidates.boxes, semantic.image_size))
