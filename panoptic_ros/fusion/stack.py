"""The heuristic of report RT-0506: detector masks by falling score over the stuff."""

from __future__ import annotations

from panoptic_ros.fusion.masks import pasted
from panoptic_ros.fusion.merge import Candidates, FusionOptions, merge, select
from panoptic_ros.prediction import (
    InstancePrediction,
    MaskCrop,
    PanopticPrediction,
    SemanticPrediction,
)


def stack(
    semantic: SemanticPrediction,
    instances: InstancePrediction,
    options: FusionOptions | None = None,
) -> PanopticPrediction:
    """Merge both predictions of an image by stacking the detector's masks.

    Source: Inria report RT-0506, section on the baseline; the merge rules are those of
    `fusion.merge.merge`.
    """
    options = options or FusionOptions()
    candidates = select(semantic, instances, options)
    return merge(semantic, candidates, detector_masks(semantic, candidates, options), options)


def detector_masks(
    semantic: SemanticPrediction, candidates: Candidates, options: FusionOptions
) -> list[MaskCrop]:
    """Return each candidate's mask as the detector has it, bool, pasted inside its box only."""
    return pasted(candidates.boxes, candidates.masks, semantic.image_size, options.mask_threshold)
