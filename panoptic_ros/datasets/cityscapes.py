"""Cityscapes from disk (Cordts et al. 2016), and whatever else is laid out like it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from panoptic_ros.datasets.classes import WANTED_IDS, check_cityscapes_classes, hold_train_ids
from panoptic_ros.datasets.picture_files import (
    PICTURES,
    FrameList,
    PictureFrame,
    first_file,
    read_labels,
    refuse_twins,
    require_files,
    unique_names,
)
from panoptic_ros.documents import make, named, read_json
from panoptic_ros.labels import CITYSCAPES, LabelSet, class_ids, encode
from panoptic_ros.messages.images import MAX_PIXELS

LAYOUT = (
    "ROOT/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png (or .jpg, or without CITY) with "
    "ROOT/gtFine/SPLIT/CITY/*_gtFine_instanceIds.png and *_gtFine_labelIds.png"
)
# A number plate's (id -1) in a file of label ids.
_PLATE = 255
# Share of pixels in which both files may be of two minds.
LARGEST_DIFFERENCE = 1e-3
# Pixels that a corner of a polygon may lie from the origin: Pillow draws others anywhere.
_FARTHEST = 1 << 24


@dataclass(frozen=True)
class Sample(PictureFrame):
    """Hold the files of one frame: name CITY_SEQUENCE_FRAME, image, label ids, instance ids.

    Frames of one name in two folders have their folder's before it. Both files of ids are that
    of the polygons where there are polygons alone.
    """

    label_ids: Path

    def load_label_ids(self) -> np.ndarray:
        """Return Cityscapes label ids, uint8 [H, W] (not train ids; 0 and others: ignored)."""
        if self.label_ids.suffix == ".json":
            return class_ids(draw_polygons(self.label_ids)).astype(np.uint8)
        return read_labels(self.label_ids, np.uint8)

    def load_instance_ids(self) -> np.ndarray:
        """Return instance ids, uint16 [H, W]: class_id, or class_id * 1000 + n for things.

        Raise ValueError where the label ids are other classes, and say what they look like.
        """
        if self.instance_ids.suffix == ".json":
            return draw_polygons(self.instance_ids)
        instances = read_labels(self.instance_ids, np.uint16)
        if hold_train_ids(instances):
            raise ValueError(f"{self.instance_ids} looks like train ids (0..18); {WANTED_IDS}")
        self._check(class_ids(instances), self.load_label_ids())
        return instances

    def _check(self, classes: np.ndarray, labels: np.ndarray) -> None:
        """Compare the classes of both files."""
        if classes.shape != labels.shape:
            raise ValueError(
                f"{self.instance_ids} is {list(classes.shape)} (rows, columns), "
                f"{self.label_ids.name} {list(labels.shape)}"
            )
        # Number plates, id -1, are 255 in one file and 65535 in the other.
        differ = (classes != labels) & (labels != _PLATE)
        if np.count_nonzero(differ) <= LARGEST_DIFFERENCE * differ.size:
            return
        known = np.isin(classes, CITYSCAPES.ids)
        train_ids = np.searchsorted(CITYSCAPES.ids, classes[known])
        if known.any() and np.mean(train_ids == labels[known]) > 1 - LARGEST_DIFFERENCE:
            raise ValueError(f"{self.label_ids} looks like train ids (0..18); {WANTED_IDS}")
        y, x = np.argwhere(differ)[0]
        raise ValueError(
            f"{self.label_ids} and {self.instance_ids} disagree at {np.count_nonzero(differ)} "
            f"pixels: at row {y}, column {x} one says class {labels[y, x]}, the other "
            f"{classes[y, x]}; make both from the same annotation"
        )


class Cityscapes(FrameList[Sample]):
    """List the samples of a split, by name.

    root: folder that holds leftImg8bit and gtFine; split: train, val or test; labels: the
    classes that the truth is wanted in.
    Raise FileNotFoundError, with the layout expected, where a folder, an image or the labels
    of an image are missing; ValueError for classes that are not Cityscapes'.
    """

    EVALUATION_SPLIT = "val"

    def __init__(
        self, root: str | Path, split: str = "train", labels: LabelSet = CITYSCAPES
    ) -> None:
        check_cityscapes_classes(labels)
        self.root, self.split = Path(root), split
        images = self._folder("leftImg8bit")
        # Not glob, which leaves out the folders that cannot be read.
        found = sorted(
            p
            for folder in (images, *filter(Path.is_dir, images.iterdir()))
            for p in folder.iterdir()
            if p.stem.endswith("_leftImg8bit") and p.suffix.lower() in PICTURES and p.name[0] != "."
        )
        refuse_twins(found)
        names = unique_names([p.relative_to(images).with_name(_name(p)) for p in found])
        self._samples = [self._sample(*pair) for pair in zip(names, found, strict=True)]
        if not self._samples:
            raise FileNotFoundError(f"{images} holds no image; expected {LAYOUT}")

    def _folder(self, kind: str) -> Path:
        folder = self.root / kind / self.split
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is missing; expected {LAYOUT}")
        return folder

    def _sample(self, name: str, image: Path) -> Sample:
        truth = self.root / "gtFine" / self.split
        # The truth may have folders by city, whether or not the images have them.
        own = image.parent.relative_to(self.root / "leftImg8bit" / self.split)
        folders = [truth / own, truth, truth / image.name.split("_")[0]]

        def beside(kind: str) -> Path:
            return first_file(folder / f"{_name(image)}_gtFine_{kind}.png" for folder in folders)

        sample = Sample(name, image, beside("instanceIds"), beside("labelIds"))
        polygons = beside("polygons").with_suffix(".json")
        if polygons.is_file() and not sample.instance_ids.is_file():
            return Sample(name, image, polygons, polygons)
        require_files((sample.label_ids, sample.instance_ids), str(image), LAYOUT)
        return sample


def draw_polygons(path: Path) -> np.ndarray:
    """Return the instance ids of a file of polygons, uint16 [H, W], as Cityscapes' tools draw them.

    Later objects cover earlier ones; classes that are not evaluated are 0; NAMEgroup is the
    plain id. Raise ValueError that names the file where it is none of such.
    """
    raw = make(_Polygons, _only(read_json(path), _Polygons), str(path))
    if min(raw.imgWidth, raw.imgHeight) < 1 or raw.imgWidth * raw.imgHeight > MAX_PIXELS:
        raise ValueError(f"{path}: {raw.imgWidth} x {raw.imgHeight} is no size of an image")
    canvas = Image.new("I", (raw.imgWidth, raw.imgHeight))
    pen, seen = ImageDraw.Draw(canvas), Counter[str]()
    for i, entry in enumerate(raw.objects):
        shape = make(_Polygon, _only(entry, _Polygon), f"{path}: objects[{i}]")
        known = CITYSCAPES.by_name.get(shape.label.removesuffix("group"))
        if shape.deleted or len(shape.polygon) < 3:
            continue
        value = known.id if known else 0
        if known and known.is_thing and shape.label == known.name:
            value = named(f"{path}: objects[{i}]", partial(encode, known.id, seen[shape.label]))
            seen[shape.label] += 1
        if any(abs(corner) > _FARTHEST for point in shape.polygon for corner in point):
            raise ValueError(f"{path}: objects[{i}]: polygon has a corner beyond +-{_FARTHEST}")
        pen.polygon(shape.polygon, fill=value)
    return np.array(canvas).astype(np.uint16)


@dataclass(frozen=True)
class _Polygons:
    imgWidth: int  # noqa: N815 - the file's own names
    imgHeight: int  # noqa: N815
    objects: list[Any]


@dataclass(frozen=True)
class _Polygon:
    label: str
    polygon: tuple[tuple[float, float], ...]
    deleted: int = 0


def _only(content: Any, kind: type) -> Any:
    """Return a mapping without the keys that a dataclass does not have."""
    if not isinstance(content, dict):
        return content
    return {key: value for key, value in content.items() if key in kind.__annotations__}


def _name(image: Path) -> str:
    return image.stem.removesuffix("_leftImg8bit")
