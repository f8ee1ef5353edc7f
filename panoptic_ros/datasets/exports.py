"""Write predictions as benchmarks and their official tools want them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from panoptic_ros.datasets.coco_panoptic_writer import PanopticWriter
from panoptic_ros.datasets.kitti import KITTI_DIVISOR
from panoptic_ros.datasets.picture_files import first_file, write_png
from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, LabelClass, LabelSet, class_ids
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.whole_files import write_file, write_json

# Class name -> id and name of the COCO-panoptic category that it becomes. A rider is a person to
# COCO; poles and signs (COCO knows stop signs alone) have no category.
COCO_CATEGORIES = {
    "person": (1, "person"),
    "rider": (1, "person"),
    "bicycle": (2, "bicycle"),
    "car": (3, "car"),
    "motorcycle": (4, "motorcycle"),
    "bus": (6, "bus"),
    "train": (7, "train"),
    "truck": (8, "truck"),
    "traffic light": (10, "traffic light"),
    "road": (149, "road"),
    "vegetation": (184, "tree-merged"),
    "fence": (185, "fence-merged"),
    "sky": (187, "sky-other-merged"),
    "sidewalk": (191, "pavement-merged"),
    "terrain": (193, "grass-merged"),
    "building": (197, "building-other-merged"),
    "wall": (199, "wall-other-merged"),
}


class Export(Protocol):
    """Write frames to a folder of one format."""

    def write(self, name: str, image_id: int | str, panoptic: PanopticPrediction) -> dict[str, Any]:
        """Write one frame; return what `finish` needs of it, as JSON can hold it."""

    def finish(self, entries: Sequence[dict[str, Any]]) -> None:
        """Write what stands for all frames, from what `write` gave."""


class CityscapesPanopticExport:
    """What csEvalPanopticSemanticLabeling reads: FOLDER/NAME.json and FOLDER/NAME/*.png."""

    def __init__(self, folder: Path, name: str, labels: LabelSet) -> None:
        self._writer = PanopticWriter(folder, name, labels)

    def write(self, name: str, image_id: int | str, panoptic: PanopticPrediction) -> dict[str, Any]:
        """Write one frame."""
        return self._writer.write(name, image_id, panoptic.labels)

    def finish(self, entries: Sequence[dict[str, Any]]) -> None:
        """Write the JSON."""
        self._writer.finish(entries)


class CocoExport(CityscapesPanopticExport):
    """COCO's upload: FOLDER/NAME.json and FOLDER/NAME/*.png with COCO's category ids.

    Image ids are those given; text of digits becomes its number, as COCO's files have it.
    """

    def __init__(self, folder: Path, name: str, labels: LabelSet) -> None:
        known = [c for c in labels.classes if c.name in COCO_CATEGORIES]
        self._ids = {c.id: COCO_CATEGORIES[c.name][0] for c in known}
        categories: dict[int, LabelClass] = {}
        for c in known:
            category_id, category = COCO_CATEGORIES[c.name]
            categories.setdefault(
                category_id, LabelClass(category_id, category, c.is_thing, c.color)
            )
        self._labels = labels
        super().__init__(folder, name, LabelSet("coco", tuple(categories.values())))

    def write(self, name: str, image_id: int | str, panoptic: PanopticPrediction) -> dict[str, Any]:
        """Write one frame; classes without a category are unlabeled."""
        values, index = np.unique(panoptic.labels, return_inverse=True)
        numbers: dict[int, int] = {}
        table = []
        for class_id in class_ids(values).tolist():
            category = self._ids.get(class_id, UNLABELED)
            if category and self._labels[class_id].is_thing:
                # Two classes may share a category: numbers are given anew.
                number = numbers[category] = numbers.get(category, -1) + 1
                category = category * INSTANCE_DIVISOR + number
            table.append(category)
        labels = np.array(table, np.int64)[index].reshape(panoptic.labels.shape)
        is_number = isinstance(image_id, str) and image_id.isascii() and image_id.isdigit()
        coco_id = int(image_id) if is_number else image_id
        return super().write(name, coco_id, PanopticPrediction(labels))


class InstanceExport:
    """What Cityscapes' and KITTI's benchmarks of instances and of pixels take.

    `cityscapes_instances`: FOLDER/NAME/instances/FRAME.txt (mask, label id, score a line),
    its masks below it, and FOLDER/NAME/labels/FRAME_labelIds.png: two folders, since the
    official tools search theirs for every file of a frame's name. `kitti`: FOLDER/NAME/pred_list,
    pred_img and semantic, and instance, label id * 256 + n as the data set has it.
    """

    def __init__(self, folder: Path, name: str, labels: LabelSet, *, is_kitti: bool) -> None:
        root = folder / name
        self._labels, self._is_kitti = labels, is_kitti
        self._lists = root / ("pred_list" if is_kitti else "instances")
        self._masks = root / "pred_img" if is_kitti else self._lists / "masks"
        self._semantic = root / ("semantic" if is_kitti else "labels")
        self._instances = root / "instance"

    def write(self, name: str, image_id: int | str, panoptic: PanopticPrediction) -> dict[str, Any]:
        """Write one frame; image_id plays no part."""
        listed, lines = self._lists / f"{name}.txt", []
        for i, segment in enumerate(s for s in panoptic.segments if s.is_thing):
            mask = self._masks / f"{name}_{i:03d}.png"
            write_png(mask, np.where(panoptic.labels == segment.id, 255, 0).astype(np.uint8))
            place = os.path.relpath(mask, listed.parent)
            lines.append(f"{place} {segment.class_id} {segment.score:.6f}\n")
        write_file(listed, "".join(lines))
        suffix = "" if self._is_kitti else "_labelIds"
        semantic = class_ids(panoptic.labels).astype(np.uint8)
        write_png(self._semantic / f"{name}{suffix}.png", semantic)
        if self._is_kitti:
            write_png(self._instances / f"{name}.png", to_kitti(panoptic.labels, self._labels))
        return {}

    def finish(self, entries: Sequence[dict[str, Any]]) -> None:
        """Do nothing: each frame's files stand for themselves."""


class FiftyOneExport:
    """What FiftyOne imports as FiftyOneImageDetectionDataset: things as boxes, with scores.

    FOLDER/NAME/labels.json, and data.json with the place of each frame's picture: the one that
    the run has written for its report, or its overlay where there is no report.
    """

    def __init__(self, folder: Path, name: str, labels: LabelSet) -> None:
        self._root, self._labels = folder / name, labels
        # OUT of OUT/exports/FORMAT.
        self._out = folder.parent.parent

    def write(self, name: str, image_id: int | str, panoptic: PanopticPrediction) -> dict[str, Any]:
        """Return a frame's entry; image_id plays no part."""
        height, width = panoptic.labels.shape
        detections = []
        for segment in panoptic.segments:
            if segment.is_thing:
                x0, y0, x1, y1 = segment.box
                box = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
                detections.append(
                    {
                        "label": self._labels[segment.class_id].name,
                        "bounding_box": box,
                        "confidence": float(segment.score),
                        "attributes": {"area": segment.area, "segment_id": segment.id},
                    }
                )
        return {"name": name, "detections": detections}

    def finish(self, entries: Sequence[dict[str, Any]]) -> None:
        """Write both files."""
        places = {}
        for entry in entries:
            name = entry["name"]
            picture = first_file(
                self._out / path for path in (f"pictures/{name}/camera.jpg", f"overlay/{name}.png")
            )
            # FiftyOne takes what follows the last dot for an extension, and off.
            places[name + picture.suffix] = os.path.relpath(picture, self._root)
        write_json(self._root / "data.json", places)
        labels = {entry["name"]: entry["detections"] for entry in entries}
        write_json(self._root / "labels.json", {"labels": labels})


def to_kitti(labels: np.ndarray, label_set: LabelSet) -> np.ndarray:
    """Return a label image as KITTI's label_id * 256 + n, uint16 [H, W].

    Things count from 1; beyond 255 of a class they are 0, not separated.
    """
    values, index = np.unique(labels, return_inverse=True)
    classes = class_ids(values).astype(np.int64)
    things = [c.id for c in label_set.things]
    table = classes * KITTI_DIVISOR
    for class_id in np.unique(classes[np.isin(classes, things)]):
        own = np.flatnonzero(classes == class_id)
        numbers = np.arange(1, len(own) + 1)
        table[own] += np.where(numbers < KITTI_DIVISOR, numbers, 0)
    return table[index].reshape(labels.shape).astype(np.uint16)


_EXPORTS: dict[str, Callable[[Path, str, LabelSet], Export]] = {
    "coco": CocoExport,
    "cityscapes_panoptic": CityscapesPanopticExport,
    "cityscapes_instances": partial(InstanceExport, is_kitti=False),
    "kitti": partial(InstanceExport, is_kitti=True),
    "fiftyone": FiftyOneExport,
}
EXPORTS = tuple(_EXPORTS)


def make_export(format_name: str, folder: Path, name: str, labels: LabelSet) -> Export:
    """Return what writes predictions of one name below FOLDER/FORMAT.

    Raise ValueError for an unknown format, and for labels that 8 bits do not hold.
    """
    if format_name not in EXPORTS:
        raise ValueError(f"unknown format {format_name!r}; known: {', '.join(EXPORTS)}")
    if format_name in ("cityscapes_instances", "kitti") and int(labels.ids.max()) > 255:
        raise ValueError(f"label set {labels.name!r} has ids beyond 255, which {format_name} lacks")
    return _EXPORTS[format_name](folder / format_name, name, labels)
