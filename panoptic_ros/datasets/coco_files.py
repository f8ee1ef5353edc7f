"""Read COCO-panoptic files: a JSON of segment lists, and one RGB PNG of ids per image.

Format: https://cocodataset.org/#format-data, "Panoptic Segmentation".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.datasets.picture_files import decoded
from panoptic_ros.scores.overlaps import Overlaps
from panoptic_ros.scores.segments import VOID, Segments


class BrokenFile(ValueError):  # noqa: N818 - what it is, not that it is an error
    """Say which file cannot be used, and why."""


@dataclass(frozen=True)
class Category:
    """Describe one class of a COCO-panoptic file."""

    id: int
    name: str
    is_thing: bool


@dataclass(frozen=True)
class Annotation:
    """Hold one image's entry: the PNG's name and its segments as the JSON lists them.

    infos: segment id -> its `segments_info`; of an id listed twice, the last.
    """

    image_id: int | str
    file_name: str
    infos: dict[int, Mapping[str, Any]]

    def column(self, key: str, default: int = 0) -> np.ndarray:
        """Return one integer field of every segment, int64 [S]."""
        return np.array([info.get(key, default) for info in self.infos.values()], dtype=np.int64)


@dataclass(frozen=True)
class PanopticFile:
    """Hold a COCO-panoptic JSON file; pictures: image id -> the camera picture's file name."""

    annotations: list[Annotation]
    categories: list[Category]
    pictures: dict[int | str, str]


def read_annotations(path: Path) -> tuple[list[Annotation], list[Category]]:
    """Read the annotations and categories of a file; errors as for `read_file`."""
    content = read_file(path)
    return content.annotations, content.categories


def read_file(path: Path) -> PanopticFile:
    """Read a COCO-panoptic JSON file; a prediction may have neither categories nor images.

    Raise BrokenFile that names the file and what is wrong with it, OSError where it cannot
    be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return PanopticFile(
            [_annotation(entry) for entry in content["annotations"]],
            [
                Category(int(c["id"]), str(c.get("name", c["id"])), bool(c["isthing"]))
                for c in content.get("categories", [])
            ],
            {i["id"]: str(i["file_name"]) for i in content.get("images", [])},
        )
    except KeyError as error:
        raise BrokenFile(f"{path}: not a COCO-panoptic file, {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenFile(f"{path}: not a COCO-panoptic file ({error})") from error


def _annotation(entry: Mapping[str, Any]) -> Annotation:
    infos = {
        int(info["id"]): {**info, "category_id": int(info["category_id"])}
        for info in entry["segments_info"]
    }
    return Annotation(entry["image_id"], str(entry["file_name"]), infos)


def read_colors(path: Path) -> np.ndarray:
    """Read a PNG of segment ids, uint8 [H, W, 3], BGR; what `overlaps` takes. Alpha is ignored.

    Raise BrokenFile that names the file for anything else, or where it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BrokenFile(f"{path}: {error.strerror}") from error
    image = decoded(content)
    if image is None:
        raise BrokenFile(f"{path}: cannot be decoded; it is truncated or no image")
    if image.dtype != np.uint8 or image.ndim != 3:
        shape = "x".join(map(str, image.shape))
        raise BrokenFile(f"{path}: {image.dtype} {shape}; ids are stored as 8-bit RGB")
    return image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)


def true_segments(annotation: Annotation, pairs: Overlaps) -> Segments:
    """Return the segments of a truth entry.

    Areas are the file's, as in the official scripts, and those of the PNG where it has none.
    """
    ids = np.array(list(annotation.infos), dtype=np.int64)
    areas = annotation.column("area", default=-1)
    areas = np.where(areas < 0, _areas(ids, pairs.truth, pairs.pixels), areas)
    return Segments(ids, annotation.column("category_id"), areas, annotation.column("iscrowd") == 1)


def predicted_segments(annotation: Annotation, pairs: Overlaps, classes: Iterable[int]) -> Segments:
    """Return the segments of a predicted entry, with the PNG's areas.

    Raise ValueError where JSON and PNG disagree about the ids, or a class is not in classes.
    """
    ids = np.array(list(annotation.infos), dtype=np.int64)
    class_ids = annotation.column("category_id")
    present = np.unique(pairs.prediction)
    unlisted = np.setdiff1d(present[present != VOID], ids)
    absent = np.setdiff1d(ids, present)
    unknown = np.setdiff1d(class_ids, list(classes))
    for found, words in (
        (unlisted, "segment ids that its segments_info does not list"),
        (absent, "no pixel of segment ids that its segments_info lists"),
        (unknown, "category ids that the truth does not have"),
    ):
        if len(found):
            raise ValueError(f"has {words}: {found[:10].tolist()}")
    areas = _areas(ids, pairs.prediction, pairs.pixels)
    return Segments(ids, class_ids, areas, np.zeros(len(ids), bool))


def _areas(ids: np.ndarray, values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return how many pixels each id has, int64 [S]."""
    areas: dict[int, int] = dict.fromkeys(ids.tolist(), 0)
    for value, count in zip(values.tolist(), pixels.tolist(), strict=True):
        if value in areas:
            areas[value] += count
    return np.array(list(areas.values()), dtype=np.int64)
