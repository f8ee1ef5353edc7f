"""Panoptic quality by the official rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.overlaps import Overlaps, positions, shared_pixels
from panoptic_ros.scores.segments import VOID, Segments

MATCH_IOU = 0.5


@dataclass(frozen=True)
class SegmentMatches:
    """Hold how T true and P predicted segments of one image compare.

    rows, columns, iou: int64, int64, float64 [K], the pairs of one class that share pixels,
    crowd regions aside; a pair is a match where its IoU > 0.5. missed: bool [T], without a
    match; wrong: bool [P], without a match and no excuse.
    """

    rows: np.ndarray
    columns: np.ndarray
    iou: np.ndarray
    missed: np.ndarray
    wrong: np.ndarray


class PanopticQuality:
    """Add up matches over images and give PQ, SQ and RQ.

    The rules, and their corner cases, are those of cityscapesscripts'
    evalPanopticSemanticLabeling (panopticapi's): a true and a predicted segment of one class
    match where IoU > 0.5, void pixels (truth 0) left out of the union; a prediction that
    matches nothing is no false positive where more than half of it lies on void or on the
    class's crowd region (where the truth lists several, the last); crowd regions are neither
    matched nor missed. Source: Kirillov et al. 2019, "Panoptic Segmentation", section 4.

    >>> quality = PanopticQuality.of(CITYSCAPES)
    >>> quality.add(*label_image_segments(truth, prediction, CITYSCAPES))
    >>> quality.results()["all"]["pq"]
    """

    def __init__(self, is_thing: Mapping[int, bool]) -> None:
        """Take the classes to score: whether each class id is a thing."""
        self.is_thing = dict(is_thing)
        self.class_ids = np.array(sorted(self.is_thing), dtype=np.int64)
        count = len(self.class_ids)
        self.iou = np.zeros(count)
        self.tp, self.fp, self.fn = (np.zeros(count, np.int64) for _ in range(3))

    @classmethod
    def of(cls, labels: LabelSet) -> PanopticQuality:
        """Return an empty score over a label set's classes."""
        return cls({c.id: c.is_thing for c in labels.classes})

    def add(self, pairs: Overlaps, truth: Segments, prediction: Segments) -> None:
        """Count one image: the overlaps of its two panoptic images and their segments.

        True segments of a class that is not scored count nowhere.
        """
        self.add_matches(match_segments(pairs, truth, prediction), truth, prediction)

    def add_matches(
        self,
        matches: SegmentMatches,
        truth: Segments,
        prediction: Segments,
        *,
        of_truth: np.ndarray | None = None,
        of_prediction: np.ndarray | None = None,
    ) -> None:
        """Count one image whose segments are matched.

        of_truth: bool [T], of_prediction: bool [P], which segments count; None: all. A match
        counts where its true segment does.
        """
        hit = matches.iou > MATCH_IOU
        rows, iou = matches.rows[hit], matches.iou[hit]
        missed, wrong = matches.missed, matches.wrong
        if of_truth is not None:
            iou, rows, missed = iou[of_truth[rows]], rows[of_truth[rows]], missed & of_truth
        if of_prediction is not None:
            wrong = wrong & of_prediction
        self.count("tp", truth.class_ids[rows])
        self.count("iou", truth.class_ids[rows], iou)
        self.count("fn", truth.class_ids[missed])
        self.count("fp", prediction.class_ids[wrong])

    def add_counts(self, other: PanopticQuality) -> None:
        """Add what another score of the same classes has counted."""
        self.iou += other.iou
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn

    def count(self, name: str, class_ids: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Add weights (1 each without) to "iou", "tp", "fp" or "fn" of their classes."""
        totals = getattr(self, name)
        index = positions(self.class_ids, class_ids)
        known = index >= 0
        weights = None if weights is None else weights[known]
        totals += np.bincount(index[known], weights, len(totals)).astype(totals.dtype)

    def sparse(self) -> dict[str, list[float]]:
        """Return {class id: [iou, tp, fp, fn]} of the classes that were counted, for JSON."""
        columns = [x.tolist() for x in (self.iou, self.tp, self.fp, self.fn)]
        table = zip(*columns, strict=True)
        rows = zip(self.class_ids.tolist(), table, strict=True)
        return {str(class_id): list(row) for class_id, row in rows if any(row)}

    def add_sparse(self, content: Mapping[str, Any]) -> None:
        """Add what `sparse` gave."""
        if content:
            ids = np.array([int(i) for i in content], np.int64)
            columns = np.array(list(content.values()), float).T
            for name, column in zip(("iou", "tp", "fp", "fn"), columns, strict=True):
                self.count(name, ids, column)

    def results(self) -> dict[str, Any]:
        """Return the scores as fractions.

        {"all" | "things" | "stuff": {"pq", "sq", "rq", "n"}, "per_class": {class id: {"pq",
        "sq", "rq", "iou" (sum over the matches), "tp", "fp", "fn"}}}. Means run over the n
        classes that occur in truth or prediction; without any they are 0.
        """
        weight = self.tp + 0.5 * self.fp + 0.5 * self.fn
        scores = {
            "pq": _divide(self.iou, weight),
            "sq": _divide(self.iou, self.tp),
            "rq": _divide(self.tp, weight),
        }
        counts = {"iou": self.iou, "tp": self.tp, "fp": self.fp, "fn": self.fn}
        things = np.array([self.is_thing[int(i)] for i in self.class_ids], bool)
        occurs = weight > 0
        groups = {"all": occurs, "things": occurs & things, "stuff": occurs & ~things}
        results: dict[str, Any] = {
            name: {key: _mean(score[chosen]) for key, score in scores.items()}
            | {"n": int(chosen.sum())}
            for name, chosen in groups.items()
        }
        results["per_class"] = {
            int(class_id): {key: value[i].item() for key, value in {**scores, **counts}.items()}
            for i, class_id in enumerate(self.class_ids)
        }
        return results


def known_scores(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return `PanopticQuality.results` with None for every score where no class occurs at all.

    There 0 would read as a verdict on predictions of which nothing is known.
    """
    return dict(results) if results["all"]["n"] else without_scores(results)


def known_mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those values that are known, None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def without_scores(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return `PanopticQuality.results` with None in place of every PQ, SQ and RQ."""
    nothing = dict.fromkeys(("pq", "sq", "rq"))
    return {
        **{name: {**results[name], **nothing} for name in ("all", "things", "stuff")},
        "per_class": {i: {**entry, **nothing} for i, entry in results["per_class"].items()},
    }


def match_segments(
    pairs: Overlaps, truth: Segments, prediction: Segments, boundary: Overlaps | None = None
) -> SegmentMatches:
    """Match the segments of one image by the rules of `PanopticQuality`.

    boundary: the overlaps of the segments' boundaries alone; a pair's IoU is then the smaller of
    the two (`boundary_overlaps`).
    """
    rows, columns = positions(truth.ids, pairs.truth), positions(prediction.ids, pairs.prediction)
    void = _sum(columns, pairs.pixels, pairs.truth == VOID, len(prediction.ids))
    inside = (rows >= 0) & (columns >= 0)
    rows, columns, pixels = rows[inside], columns[inside], pairs.pixels[inside]
    same = truth.class_ids[rows] == prediction.class_ids[columns]

    union = truth.areas[rows] + prediction.areas[columns] - pixels - void[columns]
    # A truth file's own areas may be wrong enough to leave no union: no such pair is a match.
    iou = np.divide(pixels, union, out=np.zeros(len(pixels)), where=union > 0)
    if boundary is not None:
        iou = np.minimum(iou, _boundary_iou(boundary, truth.ids[rows], prediction.ids[columns]))
    counted = same & ~truth.crowd[rows]
    hit = counted & (iou > MATCH_IOU)

    missed = ~truth.crowd
    missed[rows[hit]] = False
    on_crowd = same & np.isin(rows, _last_crowds(truth))
    ignored = void + _sum(columns, pixels, on_crowd, len(prediction.ids))
    wrong = ignored / prediction.areas <= 0.5
    wrong[columns[hit]] = False
    return SegmentMatches(rows[counted], columns[counted], iou[counted], missed, wrong)


def _boundary_iou(pairs: Overlaps, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the IoU of the boundaries of pairs of segment ids, float64 [K]."""
    true_ids, at_truth = np.unique(truth, return_inverse=True)
    predicted_ids, at_prediction = np.unique(prediction, return_inverse=True)
    rows, columns = positions(true_ids, pairs.truth), positions(predicted_ids, pairs.prediction)
    true_areas = _sum(rows, pairs.pixels, rows >= 0, len(true_ids))
    predicted_areas = _sum(columns, pairs.pixels, pairs.truth != VOID, len(predicted_ids))
    common = shared_pixels(pairs, true_ids, predicted_ids)[at_truth, at_prediction]
    union = true_areas[at_truth] + predicted_areas[at_prediction] - common
    return np.divide(common, union, out=np.zeros(len(truth)), where=union > 0)


def _sum(index: np.ndarray, pixels: np.ndarray, chosen: np.ndarray, length: int) -> np.ndarray:
    """Add the chosen pixels up by index, int64 [length]; index -1 counts nowhere."""
    chosen = chosen & (index >= 0)
    return np.bincount(index[chosen], pixels[chosen], length).astype(np.int64)


def _last_crowds(truth: Segments) -> list[int]:
    """Return the index of the last crowd segment of each class."""
    return list({int(truth.class_ids[i]): int(i) for i in np.flatnonzero(truth.crowd)}.values())


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
