"""The merge of De Geus et al.: each pixel to the surest mask, each box to what semantics sees."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from panoptic_ros.fusion.merge import USUAL, Candidates, FusionOptions, describe, select
from panoptic_ros.fusion.stack import detector_boxes
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction
from panoptic_ros.upsampling import Box, paste

# A box and a component of its class belong together from this IoU on.
LEAST_IOU = 0.5
# Share of its size by which a box may grow, each side.
LARGEST_GROWTH = 0.25
# Stuff of which the network is no surer than this is unlabeled.
LEAST_STUFF_PROBABILITY = 0.25


def degeus(
    semantic: SemanticPrediction, instances: InstancePrediction, options: FusionOptions = USUAL
) -> PanopticPrediction:
    """Merge both predictions of an image by pixel scores, after an exchange of boxes.

    A pixel goes to the instance whose mask is surest there, from `mask_threshold` on; the
    remaining ones to the best stuff class, or to none where its probability is at most 0.25.
    A stuff class with fewer than `stuff_area_limit` pixels (the paper: one in 2048 of the
    image) is taken away and its pixels choose again. `overlap_threshold` has no meaning here.
    The paper's exchange comes before its mask head; here a mask stretches with its box.
    Source: de Geus et al. 2019, "Single Network Panoptic Segmentation for Street Scene
    Understanding", sections III-C and III-D.
    """
    candidates = grow_to_components(semantic, select(semantic, instances, options))
    boxes = detector_boxes(semantic, candidates)
    things = _surest_instances(semantic, candidates, boxes, options)
    stuff = _stuff(semantic, things == 0, options)
    labels = torch.where(things > 0, things, stuff)
    return describe(labels, candidates, boxes, semantic.labels, options)


def grow_to_components(semantic: SemanticPrediction, candidates: Candidates) -> Candidates:
    """Return the candidates, each box grown to the component of its class that it stands for.

    That is the connected component of the class in the semantic prediction whose bounding box
    has the largest IoU with the box, where that is more than 0.5.
    """
    channels = semantic.channels.cpu().numpy()
    index = {c.id: i for i, c in enumerate(semantic.labels.classes)}
    boxes = candidates.boxes.copy()
    for class_id in set(candidates.class_ids.tolist()):
        components = _component_boxes(channels == index[class_id])
        for i in np.flatnonzero(candidates.class_ids == class_id):
            boxes[i] = _grown(boxes[i], components)
    return replace(candidates, boxes=boxes)


def _component_boxes(mask: np.ndarray) -> np.ndarray:
    """Return the bounding box of each connected component, float [N, 4], xyxy."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
    x, y, width, height = stats[1:, :4].T.astype(float)
    return np.stack([x, y, x + width, y + height], axis=1)


def _grown(box: np.ndarray, components: np.ndarray) -> np.ndarray:
    if not len(components):
        return box
    low, high = np.maximum(box[:2], components[:, :2]), np.minimum(box[2:], components[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    own = np.prod(box[2:] - box[:2])
    iou = shared / (own + np.prod(components[:, 2:] - components[:, :2], axis=1) - shared)
    if iou.max() <= LEAST_IOU:
        return box
    component = components[iou.argmax()]
    margin = LARGEST_GROWTH * np.tile(box[2:] - box[:2], 2)
    # Outwards only: a box holds what the detector saw.
    low = np.maximum(np.minimum(box, component), box - margin)[:2]
    high = np.minimum(np.maximum(box, component), box + margin)[2:]
    return np.concatenate([low, high])


def _surest_instances(
    semantic: SemanticPrediction,
    candidates: Candidates,
    boxes: list[Box],
    options: FusionOptions,
) -> Tensor:
    """Return the value of the instance whose mask is surest, int32 [H, W], 0 for none."""
    device = semantic.logits.device
    values = torch.zeros(semantic.image_size, dtype=torch.int32, device=device)
    best = torch.zeros(semantic.image_size, device=device)
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        probability = paste(candidates.masks[i], candidates.boxes[i], boxes[i]).float()
        window = best[y0:y1, x0:x1]
        wins = (probability >= options.mask_threshold) & (probability > window)
        values[y0:y1, x0:x1].masked_fill_(wins, int(candidates.values[i]))
        window.copy_(torch.where(wins, probability, window))
    return values


def _stuff(semantic: SemanticPrediction, free: Tensor, options: FusionOptions) -> Tensor:
    """Return the stuff class id of each free pixel, int32 [H, W], 0 elsewhere."""
    if not semantic.labels.stuff:
        return torch.zeros_like(free, dtype=torch.int32)
    is_stuff = torch.from_numpy(~semantic.labels.is_thing).to(free.device)
    # The things keep their part of the softmax: stuff among things is not sure of itself.
    probabilities = semantic.upsampled().softmax(0)[is_stuff]
    ids = torch.tensor([c.id for c in semantic.labels.stuff], dtype=torch.int32)
    ids = ids.to(free.device)
    free = free & (semantic.channels < len(semantic.labels))
    first = _choice(probabilities, ids, free)
    areas = (first[None] == ids[:, None, None]).sum((1, 2))
    probabilities[areas < options.stuff_area_limit] = 0
    return _choice(probabilities, ids, free)


def _choice(probabilities: Tensor, ids: Tensor, free: Tensor) -> Tensor:
    best, index = probabilities.max(0)
    return torch.where(free & (best > LEAST_STUFF_PROBABILITY), ids[index], 0)
