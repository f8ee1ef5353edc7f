"""What strategies share: thresholds, who takes part, and masks by falling score over the stuff."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, LabelSet
from panoptic_ros.options import number
from panoptic_ros.prediction import (
    InstancePrediction,
    MaskCrop,
    PanopticPrediction,
    Segment,
    SemanticPrediction,
    extent,
)
from panoptic_ros.upsampling import Box, pixel_boxes, upsample_crop


@dataclass(frozen=True)
class FusionOptions:
    """Hold the thresholds of the merge; names and defaults follow panoptic FPN.

    class_limits: most instances of a class (label id), 0..1000; the best ones are taken.
    class_thresholds: `score_threshold` of the classes (label ids) that have one of their own.
    classes: label ids of the classes that there are to be, none: all. Pixels of other stuff are
    unlabeled, instances of other things take no part.

    Raise ValueError that names the field and its range.
    Source: Kirillov et al. 2019, "Panoptic Segmentation", section 7, and the COMBINE
    defaults of detectron2.
    """

    score_threshold: float = number(0.5, 0.0, 1.0, "Instances with a lower score are ignored.")
    overlap_threshold: float = number(
        0.5, 0.0, 1.0, "An instance of which better ones cover more than this share is dropped."
    )
    stuff_area_limit: int = number(
        4096, 0, 1 << 30, "A stuff class with fewer pixels in the image becomes unlabeled."
    )
    mask_threshold: float = number(
        0.5,
        0.0,
        1.0,
        "An instance holds the pixels where its mask reaches this probability (not 0 or 1).",
    )
    class_limits: Mapping[int, int] = field(default_factory=dict)
    class_thresholds: Mapping[int, float] = field(default_factory=dict)
    classes: tuple[int, ...] = ()
    semantic_veto: float = number(
        1.0,
        0.0,
        1.0,
        "An instance over whose mask the semantic network gives stuff a higher mean probability "
        "is dropped; 1: none is. For stack, conv_head, spatial_ranking, panoptic_fpn.",
    )

    def __post_init__(self) -> None:
        for name in ("score_threshold", "overlap_threshold", "semantic_veto"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; it must be in 0..1")
        if not 0 < self.mask_threshold < 1:
            raise ValueError(f"mask_threshold is {self.mask_threshold}; it must be in ]0, 1[")
        if self.stuff_area_limit < 0:
            raise ValueError(f"stuff_area_limit is {self.stuff_area_limit}; it must be >= 0")
        for class_id, limit in self.class_limits.items():
            if not 0 <= limit <= INSTANCE_DIVISOR:
                raise ValueError(
                    f"class_limits: {limit} for class {class_id}; "
                    f"it must be in 0..{INSTANCE_DIVISOR}"
                )
        for class_id, threshold in self.class_thresholds.items():
            if not 0 <= threshold <= 1:
                raise ValueError(
                    f"class_thresholds: {threshold} for class {class_id}; it must be in 0..1"
                )

    @property
    def mask_logit(self) -> float:
        """The logit of `mask_threshold`, which spares a sigmoid for each pixel."""
        return math.log(self.mask_threshold / (1 - self.mask_threshold))

    def keeps(self, class_id: int) -> bool:
        """Return whether a class (label id) is one of `classes`."""
        return not self.classes or class_id in self.classes


# Of a merge that is given none.
USUAL = FusionOptions()


@dataclass(frozen=True)
class Candidates:
    """Hold the selected instances by falling score.

    Host: boxes float64 [N, 4] xyxy, scores float64 [N], class_ids int64 [N], values
    int64 [N] (label-image value of each). Device: masks float [N, M, M].
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    values: np.ndarray
    masks: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: np.ndarray) -> Candidates:
        """Return the candidates that an array of indices selects, in its order."""
        return Candidates(
            self.boxes[index],
            self.scores[index],
            self.class_ids[index],
            self.values[index],
            self.masks[torch.from_numpy(index).to(self.masks.device)],
        )


def select(
    semantic: SemanticPrediction, instances: InstancePrediction, options: FusionOptions
) -> Candidates:
    """Return the thing instances above their class's threshold and within its limit.

    Boxes, scores and classes cross to the host together, once: the crops that follow
    are cut by host integers, so that no instance waits for the device on its own.
    Instances that are not finite, hold no pixel, or are of a class that is no thing of
    the label set, or not wanted, have no place in a label image and are left out.
    """
    fields = torch.cat(
        [instances.boxes, instances.scores[:, None], instances.class_ids[:, None]], dim=1
    )
    table = fields.to("cpu", torch.float64).numpy()
    scores, class_ids = table[:, 4], np.nan_to_num(table[:, 5]).astype(np.int64)
    things = [c.id for c in semantic.labels.things if options.keeps(c.id)]
    thresholds = np.full(len(table), options.score_threshold)
    for class_id, threshold in options.class_thresholds.items():
        thresholds[class_ids == class_id] = threshold
    fit = np.isfinite(table).all(axis=1) & (scores >= thresholds) & np.isin(class_ids, things)
    order = np.argsort(-scores, kind="stable")
    order = order[fit[order]]
    pixels = pixel_boxes(table[order, :4], semantic.image_size)
    order = order[(pixels[:, 2:] > pixels[:, :2]).all(axis=1)]
    numbers = _numbers(class_ids[order])
    limits = np.full(len(order), INSTANCE_DIVISOR)
    for class_id, limit in options.class_limits.items():
        limits[class_ids[order] == class_id] = limit
    kept = numbers < limits
    order, numbers = order[kept], numbers[kept]
    index = torch.from_numpy(order).to(instances.masks.device, non_blocking=True)
    return Candidates(
        boxes=table[order, :4],
        scores=scores[order],
        class_ids=class_ids[order],
        values=class_ids[order] * INSTANCE_DIVISOR + numbers,
        masks=instances.masks[index],
    )


class NetworkMerge(ABC):
    """Merge with a network of the model's own, its head; the merge's rules are `merge`'s."""

    @torch.inference_mode()
    def __call__(
        self,
        semantic: SemanticPrediction,
        instances: InstancePrediction,
        options: FusionOptions = USUAL,
    ) -> PanopticPrediction:
        """Merge both predictions of an image."""
        return self._merged(semantic, select(semantic, instances, options), options)

    @abstractmethod
    def _merged(
        self, semantic: SemanticPrediction, candidates: Candidates, options: FusionOptions
    ) -> PanopticPrediction:
        """Merge the selected instances with the semantic prediction."""


def _numbers(class_ids: np.ndarray) -> np.ndarray:
    """Return how many of the same class come before each, int64 [N]."""
    numbers = np.zeros_like(class_ids)
    for class_id in np.unique(class_ids):
        same = class_ids == class_id
        numbers[same] = np.arange(np.count_nonzero(same))
    return numbers


def merge(
    semantic: SemanticPrediction,
    candidates: Candidates,
    crops: Sequence[MaskCrop],
    options: FusionOptions,
) -> PanopticPrediction:
    """Lay boolean instance masks on the semantic prediction's stuff.

    crops: one per candidate, in their order (falling score). A pixel belongs to the
    best instance that holds it; an instance of which more than `overlap_threshold` is
    taken already, or whose pixels are stuff by more than `semantic_veto`, is dropped and
    frees its pixels; what no instance holds is stuff, or unlabeled where the semantic
    prediction says thing or the stuff is too small.
    In host memory; `on_device.merge_on_device` does the same on a GPU.
    """
    canvas = _lay_instances(semantic, candidates, crops, options)
    # Where one of them holds a pixel the other is 0.
    labels = torch.from_numpy(canvas | _stuff(semantic, canvas, options))
    boxes = [crop.box for crop in crops]
    panoptic = describe(labels, candidates, boxes, semantic.labels, options)
    return replace(panoptic, masks=list(crops))


def describe(
    labels: Tensor,
    candidates: Candidates,
    boxes: Sequence[Box],
    label_set: LabelSet,
    options: FusionOptions,
) -> PanopticPrediction:
    """Return a label image, integer [H, W] on any device, with the list of its segments.

    boxes: one per candidate, beyond which the image does not hold the candidate's value.
    Stuff that is not among the options' classes becomes unlabeled.
    """
    if unwanted := [c.id for c in label_set.stuff if not options.keeps(c.id)]:
        ids = torch.tensor(unwanted, dtype=labels.dtype, device=labels.device)
        labels = labels.masked_fill(torch.isin(labels, ids), UNLABELED)
    image = labels.to(getattr(torch, label_set.dtype.name)).cpu().numpy()
    return PanopticPrediction(image, _segments(image, candidates, boxes, label_set))


def _lay_instances(
    semantic: SemanticPrediction,
    candidates: Candidates,
    crops: Sequence[MaskCrop],
    options: FusionOptions,
) -> np.ndarray:
    """Return the instances' values, int32 [H, W], 0 where there is none."""
    canvas = np.zeros(semantic.image_size, np.int32)
    stuff = _stuff_probability(semantic) if options.semantic_veto < 1 else None
    for value, crop in zip(candidates.values.tolist(), crops, strict=True):
        x0, y0, x1, y1 = crop.box
        window, mask = canvas[y0:y1, x0:x1], crop.mask.numpy()
        visible = mask & (window == 0)
        area, left = np.count_nonzero(mask), np.count_nonzero(visible)
        if area - left > options.overlap_threshold * area:
            continue
        if stuff is not None:
            seen = upsample_crop(stuff[None], semantic.image_size, crop.box)[0]
            if not float((seen * crop.mask).sum()) <= options.semantic_veto * area:
                continue
        np.copyto(window, value, where=visible)
    return canvas


def _stuff_probability(semantic: SemanticPrediction) -> Tensor:
    """Return the probability that a pixel is of any stuff class, float [H', W'] as the scores."""
    is_stuff = torch.from_numpy(~semantic.labels.is_thing).to(semantic.scores.device)
    return semantic.scores.float().softmax(0)[: len(is_stuff)][is_stuff].sum(0)


def _stuff(semantic: SemanticPrediction, canvas: np.ndarray, options: FusionOptions) -> np.ndarray:
    """Return the stuff class id of each pixel that is 0 in canvas, int32 [H, W], 0 elsewhere.

    By tables over bytes, five times faster than torch's operators.
    """
    ids = np.array([0 if c.is_thing else c.id for c in semantic.labels.classes] + [0], np.int32)
    # 255, which is no channel, where an instance is.
    channels = semantic.channels.numpy() | np.negative((canvas != 0).view(np.uint8))
    areas = cv2.calcHist([channels], [0], None, [256], [0, 256]).ravel()[: len(ids)]
    table = np.zeros(256, np.int32)
    table[: len(ids)] = ids * (areas >= options.stuff_area_limit)
    return cv2.LUT(channels, table)


def _segments(
    image: np.ndarray,
    candidates: Candidates,
    boxes: Sequence[Box],
    labels: LabelSet,
) -> list[Segment]:
    """Describe what is in the label image: things by falling score, then stuff."""
    segments = []
    for i, box in enumerate(boxes):
        value, class_id = int(candidates.values[i]), int(candidates.class_ids[i])
        if found := extent(image, value, box):
            segments.append(Segment(value, class_id, True, float(candidates.scores[i]), *found))
    whole = (0, 0, image.shape[1], image.shape[0])
    for label in labels.stuff:
        if found := extent(image, label.id, whole):
            segments.append(Segment(label.id, label.id, False, 1.0, *found))
    return segments
