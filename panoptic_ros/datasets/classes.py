"""A data set's categories in the classes of a label set."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from panoptic_ros.datasets.coco_files import Category
from panoptic_ros.labels import CITYSCAPES, INSTANCE_DIVISOR, UNLABELED, LabelSet, class_ids

TRAIN_VOID = 255
WANTED_IDS = "needed are label ids (road 7 ... bicycle 33), as *_gtFine_labelIds.png holds them"

# COCO-panoptic's names -> Cityscapes'. Rider, pole, traffic sign but for the stop sign, and
# with them all that Cityscapes splits finer than COCO, have no counterpart.
COCO_SYNONYMS = {
    "stop sign": "traffic sign",
    "pavement-merged": "sidewalk",
    "building-other-merged": "building",
    "house": "building",
    "wall-brick": "wall",
    "wall-stone": "wall",
    "wall-other-merged": "wall",
    "fence-merged": "fence",
    "tree-merged": "vegetation",
    "grass-merged": "terrain",
    "dirt-merged": "terrain",
    "sky-other-merged": "sky",
}


def map_classes(categories: Iterable[Category], labels: LabelSet) -> dict[int, int]:
    """Return the label id in a label set of each category, by its id; 0 (void): there is none.

    By name, in any case; then by COCO's names for what Cityscapes calls otherwise; a category
    without a name (its id stands for it) by id. Whether it is a thing is the label set's say.
    """
    by_name = {c.name.lower(): c.id for c in labels.classes}
    label_ids = {}
    for category in categories:
        name = category.name.lower()
        label_id = by_name.get(name, by_name.get(COCO_SYNONYMS.get(name, "")))
        if label_id is None and name == str(category.id) and category.id in labels.by_id:
            label_id = category.id
        label_ids[category.id] = UNLABELED if label_id is None else label_id
    return label_ids


def check_cityscapes_classes(labels: LabelSet) -> None:
    """Raise ValueError for a label set whose ids are not Cityscapes' label ids."""
    known = {(c.id, c.name) for c in CITYSCAPES.classes}
    other = [c.name for c in labels.classes if (c.id, c.name) not in known]
    if other:
        raise ValueError(
            f"the truth is labeled with Cityscapes' ids and the model's label set "
            f"{labels.name!r} has other classes ({', '.join(other[:5])}); "
            "choose a model with label set 'cityscapes'"
        )


def hold_train_ids(instances: np.ndarray) -> bool:
    """Say whether a label image is made of train ids, of which 11..18 are things, 255 is void.

    instances: integer [H, W], class_id or class_id * 1000 + n.
    """
    values = np.unique(instances)
    classes = class_ids(values)
    is_telling = (values == TRAIN_VOID) | ((values >= INSTANCE_DIVISOR) & (classes >= 11))
    fits = (classes < len(CITYSCAPES)) | (values == TRAIN_VOID)
    return bool(is_telling.any() and fits.all())
