"""COCO-panoptic data from disk, mapped to the classes of a label set.

Format: https://cocodataset.org/#format-data, "Panoptic Segmentation". The predictions that
`evaluate --predictions` writes are the same format (coco_panoptic_writer.py).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from panoptic_ros.datasets.classes import map_classes
from panoptic_ros.datasets.coco_files import (
    Annotation,
    BrokenFile,
    PanopticFile,
    read_colors,
    read_file,
)
from panoptic_ros.datasets.picture_files import (
    PICTURES,
    FrameList,
    PictureFrame,
    first_file,
    require_files,
    unique_names,
)
from panoptic_ros.labels import CITYSCAPES, UNLABELED, LabelSet, encode
from panoptic_ros.scores.overlaps import ids_of_colors

_log = logging.getLogger(__name__)
LAYOUT = (
    "ROOT/annotations/panoptic_SPLIT.json with ROOT/annotations/panoptic_SPLIT/*.png "
    "and ROOT/SPLIT/*.jpg"
)


@dataclass(frozen=True)
class CocoSample(PictureFrame):
    """Hold one frame: the picture, the PNG of segment ids, and what the JSON says of them.

    label_ids: category id -> label id, 0 for void.
    """

    annotation: Annotation
    labels: LabelSet
    label_ids: Mapping[int, int] = field(repr=False)

    @property
    def image_id(self) -> int | str:
        """Id of the frame in COCO-panoptic files."""
        return self.annotation.image_id

    def load_instance_ids(self) -> np.ndarray:
        """Return label ids, integer [H, W]: class_id, or class_id * 1000 + n for things.

        Crowds become the class's group. Raise ValueError for a broken PNG and where PNG and
        JSON disagree.
        """
        ids = ids_of_colors(read_colors(self.instance_ids))
        present, index = np.unique(ids, return_inverse=True)
        try:
            values = self._values()
        except (KeyError, ValueError) as error:
            raise ValueError(f"{self.instance_ids}: {error}") from error
        unlisted = [i for i in present.tolist() if i != UNLABELED and i not in values]
        if unlisted:
            raise ValueError(
                f"{self.instance_ids}: has segment ids that its segments_info does not list: "
                f"{unlisted[:10]}"
            )
        table = np.array([values.get(i, UNLABELED) for i in present.tolist()], self.labels.dtype)
        return table[index].reshape(ids.shape)

    def _values(self) -> dict[int, int]:
        """Return the label-image value of each segment id."""
        values: dict[int, int] = {}
        seen: Counter[int] = Counter()
        for segment_id, info in self.annotation.infos.items():
            if info["category_id"] not in self.label_ids:
                raise ValueError(f"category id {info['category_id']} is none of the file's")
            value = self.label_ids[info["category_id"]]
            if value != UNLABELED and self.labels[value].is_thing and not info.get("iscrowd"):
                seen[value] += 1
                value = encode(value, seen[value] - 1)
            values[segment_id] = value
        return values


class CocoPanoptic(FrameList[CocoSample]):
    """List the samples of a split, in the order of its file.

    root: folder that holds annotations and the split's pictures; split: val2017 or any other
    for which there are files; labels: the classes that the truth is wanted in.
    Raise FileNotFoundError, with the layout expected, where a file or folder is missing;
    ValueError for a JSON file that is broken or shares no class with the labels.
    """

    EVALUATION_SPLIT = "val2017"

    def __init__(
        self, root: str | Path, split: str = EVALUATION_SPLIT, labels: LabelSet = CITYSCAPES
    ) -> None:
        self.root, self.split = Path(root), split
        self._json = self.root / "annotations" / f"panoptic_{split}.json"
        self._truth, self._pictures = self._json.with_suffix(""), self.root / split
        self._check_folders()
        content = read_file(self._json)
        if not content.annotations or not content.categories:
            lacking = "categories" if content.annotations else "annotations"
            raise BrokenFile(f"{self._json}: has no {lacking}")
        counts = Counter(category.id for category in content.categories)
        if twice := [key for key, number in counts.items() if number > 1]:
            raise BrokenFile(f"{self._json}: category id {twice[0]} is there twice")
        label_ids = map_classes(content.categories, labels)
        self.mapped_to_void = tuple(c.name for c in content.categories if not label_ids[c.id])
        if len(self.mapped_to_void) == len(content.categories):
            raise BrokenFile(
                f"{self._json}: none of its categories is a class of label set {labels.name!r}"
            )
        annotations = self._one_per_image(content.annotations)
        names = unique_names([Path(a.file_name) for a in annotations])
        self._samples = [
            self._sample(name, annotation, content, labels, label_ids)
            for name, annotation in zip(names, annotations, strict=True)
        ]

    def _check_folders(self) -> None:
        if not self._json.is_file():
            files = sorted(self._json.parent.glob("panoptic_*.json"))
            splits = ", ".join(p.stem.removeprefix("panoptic_") for p in files) or "none"
            raise FileNotFoundError(
                f"{self._json} is missing (splits that are there: {splits}); expected {LAYOUT}"
            )
        for folder in (self._truth, self._pictures):
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder} is missing; expected {LAYOUT}")

    def _one_per_image(self, annotations: list[Annotation]) -> list[Annotation]:
        """Return the first entry of each image; warn of others."""
        first = {a.image_id: a for a in reversed(annotations)}
        if more := len(annotations) - len(first):
            _log.warning("%s: %d entries of images that have one already", self._json, more)
        return [a for a in annotations if first[a.image_id] is a]

    def _sample(
        self,
        name: str,
        annotation: Annotation,
        content: PanopticFile,
        labels: LabelSet,
        label_ids: Mapping[int, int],
    ) -> CocoSample:
        truth = self._truth / annotation.file_name
        picture = Path(content.pictures.get(annotation.image_id, f"{truth.stem}.jpg"))
        stem = Path(annotation.file_name).with_suffix("")
        image = first_file(
            [
                self._pictures / picture,
                self.root / picture,
                *(self._pictures / f"{stem}{suffix}" for suffix in PICTURES),
            ]
        )
        sample = CocoSample(name, image, truth, annotation, labels, label_ids)
        require_files((truth, image), f"image {annotation.image_id}", LAYOUT)
        return sample
