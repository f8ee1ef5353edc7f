"""UPSNet's panoptic head, which has no parameters: one argmax over stuff, instances and unknown."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from panoptic_ros.fusion.merge import USUAL, Candidates, FusionOptions, describe, select
from panoptic_ros.fusion.stack import detector_boxes
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction
from panoptic_ros.upsampling import Box, paste

# Keeps the logits of probabilities 0 and 1 finite.
EPSILON = 1e-4


def upsnet(
    semantic: SemanticPrediction, instances: InstancePrediction, options: FusionOptions = USUAL
) -> PanopticPrediction:
    """Merge both predictions of an image by UPSNet's panoptic logits.

    Stuff has its semantic logits. An instance has, inside its box, its class's semantic logit
    plus its mask's logit, and is no choice elsewhere. Unknown has the best semantic logit of
    the things less the best of the instances' classes there (0 where no box is); where it
    wins, and where a stuff class holds fewer than `stuff_area_limit` pixels, pixels are
    unlabeled. An instance of which better ones of its own class cover more than
    `overlap_threshold` is left out. The paper's thresholds: score 0.6, overlap 0.3, stuff
    area 2048 at 1024 x 2048.
    Source: Xiong et al. 2019, "UPSNet: A Unified Panoptic Segmentation Network", section 3.1.
    """
    candidates = select(semantic, instances, options)
    logits = semantic.upsampled()
    is_thing = torch.from_numpy(semantic.labels.is_thing).to(logits.device)
    best, values = _best_stuff(semantic, logits, is_thing)
    values.masked_fill_(semantic.channels == len(semantic.labels), 0)
    covered = torch.full_like(best, -torch.inf)
    channels = {c.id: i for i, c in enumerate(semantic.labels.classes)}
    boxes = detector_boxes(semantic, candidates)
    masks = _without_covered(semantic, candidates, boxes, options)
    for i, (probability, kept) in enumerate(masks):
        x0, y0, x1, y1 = boxes[i]
        of_class = logits[channels[int(candidates.class_ids[i])], y0:y1, x0:x1]
        of_class = torch.where(kept, of_class, -torch.inf)
        score = of_class + probability.clamp(EPSILON, 1 - EPSILON).logit()
        window = best[y0:y1, x0:x1]
        wins = score > window
        values[y0:y1, x0:x1].masked_fill_(wins, int(candidates.values[i]))
        window.copy_(torch.maximum(window, score))
        seen = covered[y0:y1, x0:x1]
        seen.copy_(torch.maximum(seen, of_class))
    if semantic.labels.things:
        covered = torch.where(covered.isfinite(), covered, 0)
        values.masked_fill_(logits[is_thing].amax(0) - covered > best, 0)
    _drop_small_stuff(values, semantic, options)
    return describe(values, candidates, boxes, semantic.labels, options)


def _best_stuff(
    semantic: SemanticPrediction, logits: Tensor, is_thing: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the best stuff logit of each pixel, [H, W], and its class id, int32 [H, W]."""
    if not semantic.labels.stuff:
        nothing = torch.full(semantic.image_size, -torch.inf, device=logits.device)
        return nothing, torch.zeros_like(nothing, dtype=torch.int32)
    best, index = logits[~is_thing].max(0)
    ids = [c.id for c in semantic.labels.stuff]
    return best, torch.tensor(ids, dtype=torch.int32, device=logits.device)[index]


def _without_covered(
    semantic: SemanticPrediction,
    candidates: Candidates,
    boxes: Sequence[Box],
    options: FusionOptions,
) -> list[tuple[Tensor, Tensor]]:
    """Return each candidate's mask probabilities, and whether it takes part (0-dim bool)."""
    found = []
    taken: dict[int, Tensor] = {}
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        class_id, mask = int(candidates.class_ids[i]), candidates.masks[i]
        probability = paste(mask, candidates.boxes[i], boxes[i])
        held = probability >= options.mask_threshold
        canvas = taken.setdefault(
            class_id, torch.zeros(semantic.image_size, dtype=torch.bool, device=mask.device)
        )[y0:y1, x0:x1]
        area = held.sum()
        kept = (held & canvas).sum() <= options.overlap_threshold * area
        canvas |= held & kept
        found.append((probability, kept))
    return found


def _drop_small_stuff(values: Tensor, semantic: SemanticPrediction, options: FusionOptions) -> None:
    for label in semantic.labels.stuff:
        held = values == label.id
        values.masked_fill_(held & (held.sum() < options.stuff_area_limit), 0)
