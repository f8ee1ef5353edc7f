"""Cityscapes' instance-weighted IoU, and both IoUs of its categories.

Source: Cordts et al. 2016, section 3.2; cityscapesscripts' evalPixelLevelSemanticLabeling, whose
weights and categories these are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.overlaps import Overlaps, positions
from panoptic_ros.scores.panoptic_quality import known_mean

CATEGORIES = {
    "flat": ("road", "sidewalk"),
    "construction": ("building", "wall", "fence"),
    "object": ("pole", "traffic light", "traffic sign"),
    "nature": ("vegetation", "terrain"),
    "sky": ("sky",),
    "human": ("person", "rider"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
}
# Mean pixels of an instance in Cityscapes' training set: an instance weighs as if it had so many.
MEAN_AREAS = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}


class WeightedInstances:
    """Add up how many pixels of each true instance were given its class, and its category.

    counts: float64 [C, 4] in the label set's order: pixels of the right class, of another, of
    the right category, of another; each instance scaled to the mean area of its class. Zero
    for classes without a mean area. Groups are no instances.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.counts = np.zeros((len(labels), 4))
        self._row = {c.id: i for i, c in enumerate(labels.classes)}
        self._area = {c.id: MEAN_AREAS[c.name] for c in labels.classes if c.name in MEAN_AREAS}
        self._category = {
            c.id: number
            for number, names in enumerate(CATEGORIES.values())
            for c in labels.classes
            if c.name in names
        }

    def add_overlaps(self, pairs: Overlaps) -> None:
        """Count one image by the overlaps of its two label images."""
        values = np.unique(pairs.truth[pairs.truth >= INSTANCE_DIVISOR]).tolist()
        instances = {value: value // INSTANCE_DIVISOR for value in values}
        self.add_instances(pairs.truth, instances, class_ids(pairs.prediction), pairs.pixels)

    def add_instances(
        self,
        truth: np.ndarray,
        instances: Mapping[int, int],
        predicted: np.ndarray,
        pixels: np.ndarray,
    ) -> None:
        """Count one image by pairs that share pixels, int64 [K] each.

        truth: the true segment; instances: the class of those that are instances; predicted:
        the class predicted there.
        """
        known = {s: c for s, c in instances.items() if c in self._area}
        index = positions(np.array([*known], np.int64), truth)
        index, predicted, pixels = (v[index >= 0] for v in (index, predicted, pixels))
        classes = np.fromiter(known.values(), np.int64, len(known))
        wanted, found = (self._categories(ids) for ids in (classes, predicted))
        area, right, related = (
            np.bincount(index[chosen], pixels[chosen], len(known))
            for chosen in (..., predicted == classes[index], found == wanted[index])
        )
        rows = np.array([self._row[c] for c in known.values()], np.int64)
        mean = np.array([self._area[c] for c in known.values()])
        seen = area > 0
        counts = np.stack([right, area - right, related, area - related], axis=1)[seen]
        np.add.at(self.counts, rows[seen], (mean[seen] / area[seen])[:, None] * counts)

    def _categories(self, ids: np.ndarray) -> np.ndarray:
        """Return the category of each class id, -1 for a class without one."""
        return np.array([self._category.get(i, -1) for i in ids.tolist()], np.int64)


def cityscapes_iou(confusion: ConfusionMatrix, weighted: np.ndarray) -> dict[str, Any]:
    """Return the scores as fractions, None for what does not occur.

    weighted: the counts of `WeightedInstances`. {"iiou": mean over the classes with instances,
    "iiou_classes": {class id: iIoU}, "categories": {"iou", "iiou": means, "classes": {name:
    {"iou", "iiou"}}}}. Classes that Cityscapes does not have are left out.
    """
    classes = confusion.labels.classes
    # The last column, unlabeled, is a miss and no false alarm.
    pixels = confusion.counts[:, :-1]
    false_alarms = pixels.sum(0) - np.diag(pixels)
    iiou = {
        c.id: _ratio(weighted[i, 0], weighted[i, :2].sum() + false_alarms[i])
        for i, c in enumerate(classes)
        if c.name in MEAN_AREAS
    }
    categories = {}
    for name, members in CATEGORIES.items():
        inside = np.array([c.name in members for c in classes])
        hits = pixels[np.ix_(inside, inside)].sum()
        wrong = pixels[np.ix_(~inside, inside)].sum()
        entry = {"iou": _ratio(hits, confusion.counts[inside].sum() + wrong), "iiou": None}
        if all(member in MEAN_AREAS for member in members):
            counts = weighted[inside]
            entry["iiou"] = _ratio(counts[:, 2].sum(), counts[:, 2:].sum() + wrong)
        categories[name] = entry
    return {
        "iiou": known_mean(iiou.values()),
        "iiou_classes": iiou,
        "categories": {
            **{key: known_mean(c[key] for c in categories.values()) for key in ("iou", "iiou")},
            "classes": categories,
        },
    }


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None
