"""Read COCO-panoptic files: a JSON of segment lists, and one RGB PNG of ids per image.

Format: https://cocodataset.org/#format-data, "Panoptic Segmentation".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.datasets.picture_files import decoded
from panoptic_ros.documents import read_json
from panoptic_ros.scores.overlaps import Overlaps
from panoptic_ros.scores.segments import VOID, Segments

# COCO's own largest file, of train2017, has 370 MB.
MOST_BYTES = 1 << 32
# What a PNG of 8-bit RGB holds, and what a 64-bit float holds exactly.
LARGEST_ID = (1 << 24) - 1
LARGEST = 1 << 53


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

    infos: segment id -> its `segments_info`; of an id listed twice, the last; repeated: how
    many entries name an id that an earlier one named.
    """

    image_id: int | str
    file_name: str
    infos: dict[int, Mapping[str, Any]]
    repeated: int = 0

    def column(self, key: str, default: int = 0) -> np.ndarray:
        """Return one integer field of every segment, int64 [S]."""
        return np.array([info.get(key, default) for info in self.infos.values()], dtype=np.int64)


@dataclass(frozen=True)
class PanopticFile:
    """Hold a COCO-panoptic JSON file; pictures: image id -> the camera picture's file name."""

    annotations: list[Annotation]
    categories: list[Category]
    pictures: dict[int | str, str]


def read_file(path: Path) -> PanopticFile:
    """Read a COCO-panoptic JSON file; a prediction may have neither categories nor images.

    A byte-order mark is passed over, and paths may be written with backslashes. Raise
    BrokenFile that names the file, the entry and its value where it is no such file, OSError
    where it cannot be read.
    """
    try:
        content = _Fields(read_json(path, MOST_BYTES), "the file")
        return PanopticFile(
            [_annotation(entry) for entry in content.entries("annotations")],
            [_category(entry) for entry in content.entries("categories", is_needed=False)],
            {e.name("id"): e.path("file_name") for e in content.entries("images", is_needed=False)},
        )
    except ValueError as error:
        raise BrokenFile(f"{path}: not a COCO-panoptic file ({error})") from error


def _annotation(entry: _Fields) -> Annotation:
    infos: dict[int, Mapping[str, Any]] = {}
    listed = list(entry.entries("segments_info"))
    for info in listed:
        segment_id = info.whole("id", LARGEST_ID)
        fields = {"id": segment_id, "category_id": info.whole("category_id")}
        for key, largest in (("area", LARGEST), ("iscrowd", 1)):
            if key in info.content:
                fields[key] = info.whole(key, largest)
        infos[segment_id] = fields
    repeated = len(listed) - len(infos)
    return Annotation(entry.name("image_id"), entry.path("file_name"), infos, repeated)


def _category(entry: _Fields) -> Category:
    category_id = entry.whole("id")
    name = entry.name("name") if "name" in entry.content else category_id
    # JSON can hold text that is no Unicode, which a report's charts cannot show.
    words = str(name).encode(errors="backslashreplace").decode()
    return Category(category_id, words, bool(entry.whole("isthing", 1)))


class _Fields:
    """Read the fields of an entry; raise ValueError that names entry, field and value."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise ValueError(f"{where} is {str(content)[:60]!r}, no mapping")
        self.content, self._where = content, where

    def entries(self, key: str, is_needed: bool = True) -> Iterator[_Fields]:
        """Give the entries of a list."""
        listed = self._get(key) if is_needed else self.content.get(key, [])
        if not isinstance(listed, list):
            raise self._wrong(key, "a list")
        place = "" if self._where == "the file" else f"{self._where}: "
        for i, entry in enumerate(listed):
            yield _Fields(entry, f"{place}{key}[{i}]")

    def whole(self, key: str, largest: int = LARGEST) -> int:
        """Return a whole number, 0..largest; of 0 and 1, false and true are such."""
        value = self._get(key)
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        is_flag = isinstance(value, bool) and largest > 1
        if is_flag or not is_whole or not 0 <= value <= largest:
            raise self._wrong(key, f"a whole number, 0..{largest}")
        return int(value)

    def name(self, key: str) -> int | str:
        """Return text or a whole number, which name an image or a category."""
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
            raise self._wrong(key, "text or a whole number")
        return value

    def path(self, key: str) -> str:
        """Return a path, which may be written with backslashes."""
        value = self._get(key)
        path = value.replace("\\", "/") if isinstance(value, str) else ""
        if not Path(path).name or "\0" in path:
            raise self._wrong(key, "a file's name")
        return path

    def _get(self, key: str) -> Any:
        if key not in self.content:
            raise ValueError(f"{key!r} is missing in {self._where}")
        return self.content[key]

    def _wrong(self, key: str, wanted: str) -> ValueError:
        value = repr(self.content[key])[:60]
        return ValueError(f"{self._where}: {key} is {value}, must be {wanted}")


def read_grid(path: Path) -> np.ndarray:
    """Return a PNG as OpenCV decodes it; raise BrokenFile that names it where that fails."""
    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise BrokenFile(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise BrokenFile(f"{path}: {error}") from error


def read_colors(path: Path) -> np.ndarray:
    """Read a PNG of segment ids, uint8 [H, W, 3], BGR; what `overlaps` takes. Alpha is ignored.

    Raise BrokenFile that names the file for anything else, or where it cannot be read.
    """
    image = read_grid(path)
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


def truth_faults(
    annotation: Annotation, pairs: Overlaps, classes: Iterable[int]
) -> dict[str, list[int]]:
    """Return what is doubtful in a truth entry, in words, and the segment ids that it is true of.

    classes: the category ids that the file lists. Faults without segments are left out.
    """
    ids = np.array(list(annotation.infos), dtype=np.int64)
    areas = annotation.column("area", default=-1)
    counted = _areas(ids, pairs.truth, pairs.pixels)
    present = np.unique(pairs.truth)
    faults = {
        "segments whose area is not that of their pixels; the file's counts, as in the "
        "official scripts": ids[(areas >= 0) & (areas != counted) & (counted > 0)],
        "segments without a pixel, which nothing can match": ids[counted == 0],
        "ids of pixels that segments_info does not list, scored as no class": np.setdiff1d(
            present[present != VOID], ids
        ),
        "segments of a category that the file does not list, not scored": ids[
            ~np.isin(annotation.column("category_id"), list(classes))
        ],
    }
    return {words: found.tolist() for words, found in faults.items() if len(found)}


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
