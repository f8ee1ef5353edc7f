"""Panoptic FPN's merge: stuff is what the semantic branch prefers to all things together."""

from __future__ import annotations

from dataclasses import replace

import torch

from panoptic_ros.fusion.merge import USUAL, FusionOptions
from panoptic_ros.fusion.stack import stack
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction


def panoptic_fpn(
    semantic: SemanticPrediction, instances: InstancePrediction, options: FusionOptions = USUAL
) -> PanopticPrediction:
    """Merge both predictions of an image as Panoptic FPN does.

    Its semantic branch knows the stuff classes and one class `other` for all things. A network
    that knows each thing class gives the probability of `other` as the sum of theirs. The
    merge's own rules are `stack`'s.
    Source: Kirillov et al. 2019, "Panoptic Feature Pyramid Networks", section 4; "Panoptic
    Segmentation", section 7.
    """
    return stack(_things_as_other(semantic), instances, options)


def _things_as_other(semantic: SemanticPrediction) -> SemanticPrediction:
    """Return the prediction with `other` on the first thing's channel and nothing on the rest."""
    is_thing = torch.from_numpy(semantic.labels.is_thing).to(semantic.logits.device)
    if not semantic.labels.things:
        return semantic
    logits = semantic.logits.clone()
    logits[is_thing] = torch.finfo(logits.dtype).min
    first = int(semantic.labels.is_thing.argmax())
    logits[first] = semantic.logits[is_thing].logsumexp(0)
    return replace(semantic, logits=logits)
