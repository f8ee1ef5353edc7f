"""From the frames' scores to results.json; docs/evaluation.md explains its fields."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from panoptic_ros.evaluation.frame_scores import FrameScores, FusionScores, MaskMatches
from panoptic_ros.evaluation.intervals import class_counts, quality_intervals
from panoptic_ros.evaluation.timing import end_to_end, statistics
from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.ap_interval import ap_intervals, cityscapes_ap_intervals
from panoptic_ros.scores.calibration import Calibration
from panoptic_ros.scores.cityscapes_ap import cityscapes_average_precision
from panoptic_ros.scores.cityscapes_iou import WeightedInstances, cityscapes_iou
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.mask_ap import average_precision
from panoptic_ros.scores.panoptic_quality import PanopticQuality, known_scores
from panoptic_ros.scores.quality_variants import QualityVariants

VERSION = 1


def build_results(
    frames: Sequence[FrameScores],
    labels: LabelSet,
    strategies: Sequence[str],
    *,
    dataset: dict[str, Any],
    model: dict[str, Any],
    warmup_frames: int,
) -> dict[str, Any]:
    """Return the content of results.json: quality as fractions, times in milliseconds.

    dataset, model: taken over as they are. What nothing was seen of is None.
    """
    return {
        "version": VERSION,
        "label_set": labels.name,
        "classes": class_list(labels),
        "dataset": {**dataset, "frames": len(frames)},
        "model": model,
        "semantic": _semantic(frames, labels) | {"calibration": _calibration(frames)},
        "detector": _mask_ap([f.masks for f in frames], labels),
        "fusion": {name: _fusion(frames, name, labels) for name in strategies},
        "timing": _timing(frames, strategies, warmup_frames),
        "frames": [
            {
                "name": f.name,
                "milliseconds": f.milliseconds,
                "total": {s: end_to_end(f.milliseconds, s) for s in strategies},
                "pq": {s: frame_pq(f, s, labels) for s in strategies},
                "classes": {s: _frame_classes(f.fusion[s], labels) for s in strategies},
            }
            for f in frames
        ],
    }


def frame_pq(frame: FrameScores, strategy: str, labels: LabelSet) -> float | None:
    """Return a frame's own panoptic quality, 0..1; None where no class occurs in it."""
    return known_scores(_quality([frame.fusion[strategy]], labels).results())["all"]["pq"]


def _frame_classes(score: FusionScores, labels: LabelSet) -> dict[str, list[float]]:
    confusion = ConfusionMatrix(labels)
    confusion.counts += np.array(score.confusion)
    return class_counts(_quality([score], labels), labels, *confusion.areas())


def _fusion(frames: Sequence[FrameScores], name: str, labels: LabelSet) -> dict[str, Any]:
    scores = [f.fusion[name] for f in frames]
    variants = QualityVariants(labels)
    variants.quality = _quality(scores, labels)
    for score in scores:
        variants.add_json(score.variants)
    return {
        **quality_results(variants),
        "intervals": _intervals(scores, labels),
        "calibration": _calibration(scores),
        "semantic": _semantic(scores, labels),
        "instance_iou": _instance_iou(frames, scores, labels),
        "ap": _mask_ap([score.masks for score in scores], labels),
    }


def _intervals(scores: Sequence[FusionScores], labels: LabelSet) -> dict[str, Any] | None:
    frames = [_frame_classes(score, labels) for score in scores]
    found = quality_intervals(frames, labels.ids.tolist())
    return found and {
        **found,
        **ap_intervals([s.masks["coco"] for s in scores], labels),
        "cityscapes": cityscapes_ap_intervals([s.masks["cityscapes"] for s in scores], labels),
    }


def _mask_ap(frames: Sequence[MaskMatches], labels: LabelSet) -> dict[str, Any]:
    """Return COCO's average precision and, below `cityscapes`, Cityscapes' own."""
    own = cityscapes_average_precision([f["cityscapes"] for f in frames], labels)
    coco = average_precision([f["coco"] for f in frames], labels)
    return {**text_keys(coco), "cityscapes": text_keys(own)}


def _quality(scores: Iterable[FusionScores], labels: LabelSet) -> PanopticQuality:
    quality = PanopticQuality.of(labels)
    for score in scores:
        quality.iou += score.iou
        quality.tp += score.tp
        quality.fp += score.fp
        quality.fn += score.fn
    return quality


def _calibration(scores: Sequence[FrameScores | FusionScores]) -> dict[str, Any]:
    calibration = Calibration()
    for score in scores:
        calibration.counts += np.array(score.calibration)
    return calibration.results()


def class_list(labels: LabelSet) -> list[dict[str, Any]]:
    """Return a label set's classes as results.json has them."""
    return [
        {"id": c.id, "name": c.name, "is_thing": c.is_thing, "color": list(c.color)}
        for c in labels.classes
    ]


def quality_results(variants: QualityVariants) -> dict[str, Any]:
    """Return the entries of results.json that come from matches: `panoptic`, `by_size` ..."""
    found = variants.results()
    boundary = found["boundary"] and text_keys(found["boundary"], "per_class")
    return {
        "panoptic": text_keys(known_scores(variants.quality.results()), "per_class"),
        **found,
        "pq_dagger": text_keys(found["pq_dagger"], "per_class"),
        "boundary": boundary,
    }


def _semantic(scores: Sequence[FrameScores | FusionScores], labels: LabelSet) -> dict[str, Any]:
    confusion, weighted = ConfusionMatrix(labels), WeightedInstances(labels)
    for score in scores:
        confusion.counts += np.array(score.confusion)
        weighted.counts += np.array(score.weighted)
    return confusion_results(confusion, weighted)


def confusion_results(confusion: ConfusionMatrix, weighted: WeightedInstances) -> dict[str, Any]:
    """Return the entry `semantic` of results.json."""
    iou = zip(confusion.labels.ids.tolist(), confusion.iou(), strict=True)
    return {
        "miou": _known(confusion.mean_iou()),
        "iou": {str(class_id): _known(value) for class_id, value in iou},
        "confusion": confusion.counts.tolist(),
        **text_keys(cityscapes_iou(confusion, weighted.counts), "iiou_classes"),
    }


def _instance_iou(
    frames: Sequence[FrameScores], scores: Sequence[FusionScores], labels: LabelSet
) -> dict[str, Any] | None:
    """Return Table 1's column; None for a strategy whose masks are not known before the merge."""
    if not all(s.instance_iou for s in scores):
        return None
    counts = np.zeros(len(labels.things), np.int64)
    sums = np.zeros(len(labels.things))
    for frame, score in zip(frames, scores, strict=True):
        counts += frame.instances
        sums += score.instance_iou
    means = np.divide(sums, counts, out=np.full(len(sums), math.nan), where=counts > 0)
    return {
        "mean": float(means[counts > 0].mean()) if counts.any() else None,
        "classes": {
            str(c.id): {"iou": _known(means[i]), "instances": int(counts[i])}
            for i, c in enumerate(labels.things)
        },
    }


def _timing(
    frames: Sequence[FrameScores], strategies: Sequence[str], warmup_frames: int
) -> dict[str, Any]:
    stages = frames[0].milliseconds if frames else ()
    return {
        "warmup_frames": warmup_frames,
        "frames": len(frames),
        "stages": {s: statistics([f.milliseconds[s] for f in frames]) for s in stages},
        "end_to_end": {
            s: statistics([end_to_end(f.milliseconds, s) for f in frames]) for s in strategies
        },
        "peak_memory_mib": {
            place: max((f.peak_mib[place] or 0 for f in frames), default=0) or None
            for place in ("host", "device")
        },
    }


def text_keys(scores: dict[str, Any], key: str = "classes") -> dict[str, Any]:
    """Return scores with class ids as JSON has them, as text."""
    return {**scores, key: {str(class_id): v for class_id, v in scores[key].items()}}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
