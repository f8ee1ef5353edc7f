"""Write label images as COCO-panoptic files, on which the official evaluators run.

cityscapesscripts' csEvalPanopticSemanticLabeling and panopticapi's evaluation take a JSON
and a folder of PNGs for the truth and the same for the predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, LabelSet, class_ids
from panoptic_ros.whole_files import write_json


class PanopticWriter:
    """Write FOLDER/NAME/*.png frame by frame and FOLDER/NAME.json at the end.

    category_id is the label id, a segment's id its value in the label image.
    """

    def __init__(self, folder: Path, name: str, labels: LabelSet) -> None:
        self._images = folder / name
        self._json = folder / f"{name}.json"
        self._labels = labels
        self._images.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, image_id: int | str, labels: np.ndarray) -> dict[str, Any]:
        """Write one frame's PNG and return its entry in `annotations`.

        labels: integer [H, W], class_id or class_id * 1000 + n; classes outside the label set
        become void, a thing class's plain id a crowd. Raise OSError where it cannot be written.
        """
        values, index = np.unique(labels, return_inverse=True)
        values = np.where(np.isin(class_ids(values), self._labels.ids), values, UNLABELED)
        ids = values.astype(np.uint32)[index].reshape(labels.shape)
        path = self._images / f"{name}.png"
        colors = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
        write_png(path, colors)
        segments = [self._segment(ids, v) for v in values.tolist() if v != UNLABELED]
        return {"image_id": image_id, "file_name": path.name, "segments_info": segments}

    def finish(self, annotations: Sequence[dict[str, Any]]) -> None:
        """Write the JSON of frames written before, by this writer or one before it."""
        categories = [
            {"id": c.id, "name": c.name, "isthing": int(c.is_thing), "color": list(c.color)}
            for c in self._labels.classes
        ]
        images = [{"id": a["image_id"], "file_name": a["file_name"]} for a in annotations]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_json(self._json, content, indent=None)

    def _segment(self, ids: np.ndarray, value: int) -> dict[str, Any]:
        mask = (ids == value).view(np.uint8)
        class_id = int(class_ids(np.array(value)))
        return {
            "id": value,
            "category_id": class_id,
            "area": cv2.countNonZero(mask),
            "bbox": list(cv2.boundingRect(mask)),
            "iscrowd": int(value < INSTANCE_DIVISOR and self._labels[class_id].is_thing),
        }
