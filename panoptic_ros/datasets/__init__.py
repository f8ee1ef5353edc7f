"""Data sets on disk, one file each, found by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from panoptic_ros.datasets.cityscapes import Cityscapes, Sample
from panoptic_ros.datasets.coco_panoptic import CocoPanoptic
from panoptic_ros.datasets.kitti import Kitti
from panoptic_ros.datasets.town import Town
from panoptic_ros.labels import CITYSCAPES, LabelSet

__all__ = [
    "DATASETS",
    "Cityscapes",
    "CocoPanoptic",
    "Dataset",
    "Kitti",
    "LabeledFrame",
    "Sample",
    "Town",
    "load_frame",
    "open_dataset",
]


class LabeledFrame(Protocol):
    """Name what every data set's samples have."""

    @property
    def name(self) -> str:
        """Name that no other frame of the data set has."""

    @property
    def image(self) -> Path:
        """File of the image."""

    @property
    def instance_ids(self) -> Path:
        """File of the truth."""

    @property
    def image_id(self) -> int | str:
        """Id in COCO-panoptic files."""

    def load_image(self) -> np.ndarray:
        """Return the image, uint8 [H, W, 3], RGB. Raise ValueError for a broken file."""

    def load_instance_ids(self) -> np.ndarray:
        """Return class_id, or class_id * 1000 + n for things, integer [H, W]; 0 is void.

        A thing class's plain id is a group of instances that are not separated.
        Raise ValueError for a broken file.
        """


Dataset = Cityscapes | Kitti | CocoPanoptic

DATASETS: dict[str, type[Dataset]] = {
    "cityscapes": Cityscapes,
    "kitti": Kitti,
    "coco_panoptic": CocoPanoptic,
    "town": Town,
}


def load_frame(frame: LabeledFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame's image and truth.

    Raise OSError or ValueError that names the file where one is missing or broken, or the two
    differ in size.
    """
    image, truth = frame.load_image(), frame.load_instance_ids()
    if truth.shape != image.shape[:2]:
        raise ValueError(
            f"{frame.instance_ids} is {list(truth.shape)} (rows, columns), "
            f"its image {frame.image} {list(image.shape[:2])}"
        )
    return image, truth


def open_dataset(
    name: str, root: str | Path, split: str | None = None, labels: LabelSet = CITYSCAPES
) -> Dataset:
    """Return a split of a data set by its name, its truth in the classes of a label set.

    split: None takes the one that the data set is evaluated on.
    Raise ValueError for an unknown name and as the data set does, FileNotFoundError where its
    layout lacks something.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; known: {sorted(DATASETS)}")
    kind = DATASETS[name]
    return kind(root, split or kind.EVALUATION_SPLIT, labels)
