"""Average precision of instance masks, computed by pycocotools under Cityscapes' rules."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, LabelSet, class_ids
from panoptic_ros.scores.mask_codes import as_coco, codes_of_labels

# Cityscapes scores no instance below this, and ignores what is found there.
SMALLEST_INSTANCE = 100
# Cityscapes knows no limit; pycocotools wants one.
MOST_DETECTIONS = 1000
# COCO's ranges of area, pixels; its lower ends belong to both ranges that meet there.
_AREAS = {
    "all": [0, float("inf")],
    "small": [0, 32**2],
    "medium": [32**2, 96**2],
    "large": [96**2, float("inf")],
}
_AT_75 = 5  # of the thresholds 0.5:0.05:0.95


@dataclass(frozen=True)
class TrueMasks:
    """Hold the true masks of a frame of size (H, W), as codes (`mask_codes`).

    instances: [class id, code] each; ignored: [class id, code, whether it is a group] of groups
    and of instances below SMALLEST_INSTANCE pixels; void: the pixels of no class of the label
    set, None without any.
    """

    size: tuple[int, int]
    instances: Sequence[Sequence[Any]]
    ignored: Sequence[Sequence[Any]]
    void: str | None


@dataclass(frozen=True)
class MaskFrame:
    """Hold a frame's true masks and detections: [class id, score, code] each."""

    truth: TrueMasks
    detections: Sequence[Sequence[Any]]


def true_masks(truth: np.ndarray, labels: LabelSet) -> TrueMasks:
    """Return the true masks in a label image, integer [H, W], `gtFine_instanceIds`."""
    values, pixels = np.unique(truth, return_counts=True)
    classes = class_ids(values)
    outside = ~np.isin(classes, labels.ids)
    if outside.any():
        truth = np.where(np.isin(truth, values[outside]), UNLABELED, truth)
    is_thing = np.isin(classes, [c.id for c in labels.things])
    codes = codes_of_labels(truth, [UNLABELED, *values[is_thing].tolist()])
    instances, ignored = [], []
    for i in np.flatnonzero(is_thing):
        entry = [int(classes[i]), codes[int(values[i])]]
        is_group = bool(values[i] < INSTANCE_DIVISOR)
        if is_group or pixels[i] < SMALLEST_INSTANCE:
            ignored.append([*entry, is_group])
        else:
            instances.append(entry)
    return TrueMasks(truth.shape, instances, ignored, codes.get(UNLABELED))


def average_precision(frames: Iterable[MaskFrame], labels: LabelSet) -> dict[str, Any]:
    """Return AP as fractions, None where no instance is in the truth.

    {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar", "classes": {class id:
    {"ap", "ap50", "instances"}}}: the mean over IoU 0.5:0.05:0.95, at 0.5 and at 0.75, of
    instances of COCO's three ranges of area, and the mean recall over the same IoU; per thing
    class, and the mean over the classes with instances.
    Cityscapes' rules: instances below 100 pixels are not scored; a detection that matches
    no instance is ignored where more of it than the IoU asked for lies on void, on groups or
    on such small instances of its class; any number of detections. Matching and the 101-point
    precision-recall curve are pycocotools'.
    Source: Cordts et al. 2016, section 4.1; Lin et al. 2014.
    """
    things = [c.id for c in labels.things]
    truth, found = _Annotations(things), _Annotations(things)
    counts = dict.fromkeys(things, 0)
    for image_id, frame in enumerate(frames, start=1):
        size = frame.truth.size
        truth.images.append({"id": image_id, "height": size[0], "width": size[1]})
        for class_id, code in frame.truth.instances:
            counts[class_id] += 1
            truth.add(image_id, class_id, as_coco(code, size))
        for class_id in {d[0] for d in frame.detections}:
            region = _ignored(frame.truth, class_id)
            if region is not None:
                truth.add(image_id, class_id, region, iscrowd=1)
        for class_id, score, code in frame.detections:
            found.add(image_id, class_id, as_coco(code, size), score=score)
    precision, recall = _evaluated(truth, found)
    classes = {
        class_id: {**_summary(precision[:, :, i, 0]), "instances": counts[class_id]}
        for i, class_id in enumerate(sorted(things))
    }
    sizes = {f"ap_{n}": _mean(precision[..., i]) for i, n in enumerate(_AREAS) if n != "all"}
    more = {"ap75": _mean(precision[_AT_75, ..., 0]), **sizes, "ar": _mean(recall)}
    return {**_summary(precision[..., 0]), **more, "classes": classes}


class _Annotations:
    """Gather what pycocotools reads from a file otherwise."""

    def __init__(self, class_ids: Sequence[int]) -> None:
        self.images: list[dict] = []
        self._categories = [{"id": class_id} for class_id in class_ids]
        self._entries: list[dict] = []

    def add(self, image_id: int, class_id: int, mask: dict, **fields: Any) -> None:
        self._entries.append(
            {
                "id": len(self._entries) + 1,  # 0 means "no match" to pycocotools
                "image_id": image_id,
                "category_id": class_id,
                "segmentation": mask,
                "area": int(coco_mask.area(mask)),
                "iscrowd": 0,
                **fields,
            }
        )

    def index(self) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": self.images,
            "categories": self._categories,
            "annotations": self._entries,
        }
        coco.createIndex()
        return coco


def _ignored(truth: TrueMasks, class_id: int) -> dict | None:
    """Return the region where a class's detections are neither right nor wrong."""
    codes = [code for other, code, _ in truth.ignored if other == class_id]
    if truth.void is not None:
        codes.append(truth.void)
    if not codes:
        return None
    return coco_mask.merge([as_coco(code, truth.size) for code in codes])


def _evaluated(truth: _Annotations, found: _Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Return precision by IoU, recall, class and area, and recall by IoU and class.

    float64 [10, 101, T, 4] and [10, T]; -1 without instances.
    """
    found.images = truth.images
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells of every step
        score = COCOeval(truth.index(), found.index(), "segm")
        score.params.areaRng = list(_AREAS.values())
        score.params.areaRngLbl = list(_AREAS)
        score.params.maxDets = [MOST_DETECTIONS]
        score.evaluate()
        score.accumulate()
    return score.eval["precision"][..., 0], score.eval["recall"][:, :, 0, 0]


def _summary(precision: np.ndarray) -> dict[str, float | None]:
    return {"ap": _mean(precision), "ap50": _mean(precision[0])}


def _mean(precision: np.ndarray) -> float | None:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None
