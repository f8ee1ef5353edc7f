"""Average precision of instance masks, computed by pycocotools under Cityscapes' rules."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
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
THRESHOLDS = 10
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


def coco_matches(frame: MaskFrame, labels: LabelSet) -> dict[str, list[Any]]:
    """Return how a frame's detections compare with its truth: all that `average_precision` needs.

    {class id: [scores [D], falling; outcomes, a text per range of area; true instances per
    range]} of the classes that occur. An outcome is a letter per IoU and detection: h a hit, f a
    false alarm, i ignored. Scores have nine digits, which tell every float32 from all others.
    """
    things = sorted(c.id for c in labels.things)
    size = frame.truth.size
    truth = [_annotation(c, as_coco(code, size)) for c, code in frame.truth.instances]
    for class_id in {d[0] for d in frame.detections}:
        region = _ignored(frame.truth, class_id)
        if region is not None:
            truth.append(_annotation(class_id, region, iscrowd=1))
    found = [_annotation(c, as_coco(code, size), score=s) for c, s, code in frame.detections]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells of every step
        evaluation = _evaluation(_coco(size, things, truth), _coco(size, things, found))
        evaluation.evaluate()
    matches = {}
    images = iter(evaluation.evalImgs)
    for class_id in things:
        ranges = [next(images) for _ in _AREAS]
        if ranges[0] is not None:
            scores = [float(f"{score:.9g}") for score in ranges[0]["dtScores"]]
            outcomes = [_outcomes(r["dtMatches"], r["dtIgnore"]) for r in ranges]
            instances = [int(np.count_nonzero(np.equal(r["gtIgnore"], 0))) for r in ranges]
            matches[str(class_id)] = [scores, outcomes, instances]
    return matches


def average_precision(
    frames: Sequence[Mapping[str, Sequence[Any]]], labels: LabelSet
) -> dict[str, Any]:
    """Return AP as fractions, None where no instance is in the truth; frames: `coco_matches`.

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
    things = sorted(c.id for c in labels.things)
    precision, recall = _accumulated(frames, things)
    classes = {
        class_id: {
            **_summary(precision[:, :, i, 0]),
            "instances": sum(f[str(class_id)][2][0] for f in frames if str(class_id) in f),
        }
        for i, class_id in enumerate(things)
    }
    sizes = {f"ap_{n}": _mean(precision[..., i]) for i, n in enumerate(_AREAS) if n != "all"}
    more = {"ap75": _mean(precision[_AT_75, ..., 0]), **sizes, "ar": _mean(recall)}
    return {**_summary(precision[..., 0]), **more, "classes": classes}


def _accumulated(
    frames: Sequence[Mapping[str, Sequence[Any]]], things: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return precision by IoU, recall, class and area, and recall by IoU and class.

    float64 [10, 101, T, 4] and [10, T]; -1 without instances.
    """
    evaluation = _evaluation(None, None)
    evaluation.params.catIds = list(things)
    evaluation.params.imgIds = list(range(len(frames)))
    evaluation._paramsEval = evaluation.params
    # An empty list would mean that nothing was evaluated.
    evaluation.evalImgs = [
        _entry(frame[str(class_id)], i) if str(class_id) in frame else None
        for class_id in things
        for i in range(len(_AREAS))
        for frame in frames
    ] or [None]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0], evaluation.eval["recall"][:, :, 0, 0]


def _evaluation(truth: COCO | None, found: COCO | None) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, found, "segm")
    evaluation.params.areaRng = list(_AREAS.values())
    evaluation.params.areaRngLbl = list(_AREAS)
    evaluation.params.maxDets = [MOST_DETECTIONS]
    return evaluation


def _outcomes(matches: np.ndarray, ignored: np.ndarray) -> str:
    letters = np.where(np.asarray(ignored, bool), "i", np.where(np.asarray(matches) > 0, "h", "f"))
    return "".join(letters.ravel().tolist())


def _entry(matches: Sequence[Any], area: int) -> dict[str, np.ndarray]:
    """Return what pycocotools keeps of an image, from the entry of `coco_matches`."""
    scores, outcomes, instances = matches
    letters = np.array(list(outcomes[area]), "U1").reshape(THRESHOLDS, len(scores))
    return {
        "dtScores": np.array(scores, float),
        "dtMatches": letters == "h",
        "dtIgnore": letters == "i",
        "gtIgnore": np.zeros(instances[area], int),
    }


def _coco(size: Sequence[int], things: Sequence[int], annotations: Sequence[dict]) -> COCO:
    """Return what pycocotools reads from a file otherwise, of one image."""
    coco = COCO()
    coco.dataset = {
        "images": [{"id": 1, "height": size[0], "width": size[1]}],
        "categories": [{"id": class_id} for class_id in things],
        # Id 0 means "no match" to pycocotools.
        "annotations": [{"id": i, **entry} for i, entry in enumerate(annotations, start=1)],
    }
    coco.createIndex()
    return coco


def _annotation(class_id: int, mask: dict, **fields: Any) -> dict[str, Any]:
    return {
        "image_id": 1,
        "category_id": class_id,
        "segmentation": mask,
        "area": int(coco_mask.area(mask)),
        "iscrowd": 0,
        **fields,
    }


def _ignored(truth: TrueMasks, class_id: int) -> dict | None:
    """Return the region where a class's detections are neither right nor wrong."""
    codes = [code for other, code, _ in truth.ignored if other == class_id]
    if truth.void is not None:
        codes.append(truth.void)
    if not codes:
        return None
    return coco_mask.merge([as_coco(code, truth.size) for code in codes])


def _summary(precision: np.ndarray) -> dict[str, float | None]:
    return {"ap": _mean(precision), "ap50": _mean(precision[0])}


def _mean(precision: np.ndarray) -> float | None:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else None
