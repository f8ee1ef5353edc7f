"""Confusion matrix of classes, and the mean IoU that it gives."""

from __future__ import annotations

import numpy as np

from panoptic_ros.labels import LabelSet, class_ids
from panoptic_ros.scores.overlaps import Overlaps, overlaps, positions


class ConfusionMatrix:
    """Count pixels by true and predicted class.

    counts: int64 [C, C + 1], rows true, columns predicted, in the label set's order; the last
    column is what the prediction leaves unlabeled. Pixels whose truth is void (a class
    outside the set) count nowhere.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.labels = labels
        self.counts = np.zeros((len(labels), len(labels) + 1), np.int64)

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count one image, integer [H, W] both: label ids, or label images with instances."""
        self.add_overlaps(overlaps(truth, prediction))

    def add_overlaps(self, pairs: Overlaps) -> None:
        """Count one image by the overlaps of its two label images."""
        self.add_classes(class_ids(pairs.truth), class_ids(pairs.prediction), pairs.pixels)

    def add_classes(self, truth: np.ndarray, prediction: np.ndarray, pixels: np.ndarray) -> None:
        """Count pairs of label ids, int64 [K] each, and how many pixels have them."""
        # What is predicted of no class of the set is at -1: the last column.
        rows, columns = (positions(self.labels.ids, ids) for ids in (truth, prediction))
        known = rows >= 0
        np.add.at(self.counts, (rows[known], columns[known]), pixels[known])

    def areas(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each class's intersection and union of truth and prediction, int64 [C] both."""
        hits = np.diag(self.counts)
        return hits, self.counts.sum(1) + self.counts[:, :-1].sum(0) - hits

    def iou(self) -> np.ndarray:
        """Return the IoU of each class, float64 [C], 0..1; NaN where it occurs nowhere.

        TP / (TP + FP + FN), Cordts et al. 2016; unlabeled pixels of a class are misses.
        """
        hits, union = self.areas()
        return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)

    def mean_iou(self) -> float:
        """Return the mean IoU over the classes that occur, 0..1; NaN where none does."""
        iou = self.iou()
        return float(iou[~np.isnan(iou)].mean()) if (~np.isnan(iou)).any() else float("nan")
