"""Cityscapes from disk (Cordts et al. 2016), and whatever else is laid out like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from panoptic_ros.datasets.classes import check_cityscapes_classes
from panoptic_ros.datasets.picture_files import read_labels, read_picture
from panoptic_ros.labels import CITYSCAPES, LabelSet

LAYOUT = (
    "ROOT/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png with "
    "ROOT/gtFine/SPLIT/CITY/*_gtFine_instanceIds.png and *_gtFine_labelIds.png"
)


@dataclass(frozen=True)
class Sample:
    """Hold the files of one frame: name CITY_SEQUENCE_FRAME, image, label ids, instance ids."""

    name: str
    image: Path
    label_ids: Path
    instance_ids: Path

    @property
    def image_id(self) -> str:
        """Id of the frame in COCO-panoptic files, as Cityscapes' own conversion gives it."""
        return self.name

    def load_image(self) -> np.ndarray:
        """Return the image, uint8 [H, W, 3], RGB. Raise ValueError for a broken file."""
        return read_picture(self.image)

    def load_label_ids(self) -> np.ndarray:
        """Return Cityscapes label ids, uint8 [H, W] (not train ids; 0 and others: ignored)."""
        return read_labels(self.label_ids, np.uint8)

    def load_instance_ids(self) -> np.ndarray:
        """Return instance ids, uint16 [H, W]: class_id, or class_id * 1000 + n for things."""
        return read_labels(self.instance_ids, np.uint16)


class Cityscapes(Sequence[Sample]):
    """List the samples of a split, by name.

    root: folder that holds leftImg8bit and gtFine; split: train, val or test; labels: the
    classes that the truth is wanted in.
    Raise FileNotFoundError, with the layout expected, where a folder, an image or the labels
    of an image are missing; ValueError for classes that are not Cityscapes'.
    """

    EVALUATION_SPLIT = "val"
    mapped_to_void: tuple[str, ...] = ()

    def __init__(
        self, root: str | Path, split: str = "train", labels: LabelSet = CITYSCAPES
    ) -> None:
        check_cityscapes_classes(labels)
        self.root, self.split = Path(root), split
        images = self._folder("leftImg8bit")
        self._samples = [self._sample(p) for p in sorted(images.glob("*/[!.]*_leftImg8bit.png"))]
        if not self._samples:
            raise FileNotFoundError(f"{images} holds no image; expected {LAYOUT}")

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        return self._samples[index]

    def _folder(self, kind: str) -> Path:
        folder = self.root / kind / self.split
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing; expected {LAYOUT}")
        return folder

    def _sample(self, image: Path) -> Sample:
        name = image.name.removesuffix("_leftImg8bit.png")
        labels = self.root / "gtFine" / self.split / image.parent.name
        sample = Sample(
            name,
            image,
            labels / f"{name}_gtFine_labelIds.png",
            labels / f"{name}_gtFine_instanceIds.png",
        )
        for path in (sample.label_ids, sample.instance_ids):
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing for {image}; expected {LAYOUT}")
        return sample
