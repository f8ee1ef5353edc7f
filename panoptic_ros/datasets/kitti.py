"""KITTI's semantic and instance benchmark from disk (Alhaija et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from panoptic_ros.datasets.classes import WANTED_IDS, check_cityscapes_classes, hold_train_ids
from panoptic_ros.datasets.picture_files import (
    PICTURES,
    FrameList,
    PictureFrame,
    read_labels,
    refuse_twins,
    require_files,
)
from panoptic_ros.labels import CITYSCAPES, INSTANCE_DIVISOR, LabelSet

LAYOUT = "ROOT/SPLIT/image_2/*.png (or .jpg) with ROOT/SPLIT/instance/*.png of the same names"
KITTI_DIVISOR = 256


@dataclass(frozen=True)
class KittiSample(PictureFrame):
    """Hold the files of one frame: name (000000_10), image, instance ids."""

    def load_instance_ids(self) -> np.ndarray:
        """Return label ids, uint16 [H, W]: class_id, or class_id * 1000 + n for things.

        KITTI's instance 0 marks pixels of a thing class that are not separated into instances;
        they become the class's group. Raise ValueError for a broken file or other ids.
        """
        return read_kitti(self.instance_ids)


class Kitti(FrameList[KittiSample]):
    """List the samples of a split, by name.

    root: folder that holds the split's folder; split: training (testing has no labels);
    labels: the classes that the truth is wanted in.
    Raise FileNotFoundError, with the layout expected, where a folder, an image or the labels
    of an image are missing; ValueError for classes that are not Cityscapes'.
    """

    EVALUATION_SPLIT = "training"

    def __init__(
        self, root: str | Path, split: str = EVALUATION_SPLIT, labels: LabelSet = CITYSCAPES
    ) -> None:
        check_cityscapes_classes(labels)
        self.root, self.split = Path(root), split
        images, truth = (self._folder(kind) for kind in ("image_2", "instance"))
        pictures = [p for p in sorted(images.glob("[!.]*")) if p.suffix.lower() in PICTURES]
        refuse_twins(pictures)
        self._samples = [KittiSample(p.stem, p, truth / f"{p.stem}.png") for p in pictures]
        if not self._samples:
            raise FileNotFoundError(f"{images} holds no image; expected {LAYOUT}")
        for sample in self._samples:
            require_files([sample.instance_ids], str(sample.image), LAYOUT)

    def _folder(self, kind: str) -> Path:
        folder = self.root / self.split / kind
        if not folder.is_dir():
            splits = ", ".join(sorted(p.parent.name for p in self.root.glob("*/image_2"))) or "none"
            raise FileNotFoundError(
                f"{folder} is missing (splits that are there: {splits}); expected {LAYOUT}"
            )
        return folder


def read_kitti(path: Path) -> np.ndarray:
    """Return a KITTI file of instances as a label image, uint16 [H, W], see `from_kitti`.

    Raise ValueError for a broken file and for train ids.
    """
    values = read_labels(path, np.uint16)
    found, numbers = np.divmod(np.unique(values).astype(np.int64), KITTI_DIVISOR)
    if hold_train_ids(np.where(numbers > 0, found * INSTANCE_DIVISOR + numbers, found)):
        raise ValueError(f"{path} looks like train ids (0..18) * 256 + n; {WANTED_IDS}")
    return from_kitti(values)


def from_kitti(values: np.ndarray) -> np.ndarray:
    """Return KITTI's label_id * 256 + n as a label image, uint16 [H, W].

    values: uint16 [H, W]. Things with n > 0 become label_id * 1000 + n, everything else the
    label id.
    """
    class_ids, numbers = np.divmod(values, KITTI_DIVISOR)
    told_apart = np.isin(class_ids, [c.id for c in CITYSCAPES.things]) & (numbers > 0)
    return np.where(told_apart, class_ids * INSTANCE_DIVISOR + numbers, class_ids)
