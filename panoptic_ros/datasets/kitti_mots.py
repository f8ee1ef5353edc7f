"""KITTI MOTS' text files: a mask per object and frame, with identities.

Format: https://www.vision.rwth-aachen.de/page/mots, a line each: frame, object id, class id (1 car,
2 pedestrian, 10 ignore), image height, image width, the mask as COCO's compressed run-length code.
The masks of a frame are of one size, and a pixel is of one object at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pycocotools import mask as coco_mask

from panoptic_ros.messages.images import MAX_PIXELS
from panoptic_ros.scores.mask_codes import area_of_code, as_coco

CLASSES = {1: "car", 2: "pedestrian"}
IGNORE = 10
_FIELDS = 6
# Of an int64.
_MOST_DIGITS = 18


@dataclass(frozen=True)
class MotsMask:
    """Hold one object in one frame; mask: as pycocotools takes it."""

    object_id: int
    class_id: int
    mask: dict


@dataclass(frozen=True)
class MotsSequence:
    """Hold a file's objects by frame."""

    name: str
    path: Path
    frames: dict[int, list[MotsMask]]


def read_mots(path: Path) -> list[MotsSequence]:
    """Read a file, or every *.txt of a folder, by name.

    Raise FileNotFoundError where there is none; ValueError that names file, line and value.
    """
    files = sorted(path.glob("[!.]*.txt")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no *.txt in it")
    return [_read(file) for file in files]


def _read(file: Path) -> MotsSequence:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing")
    frames: dict[int, list[MotsMask]] = {}
    seen: set[tuple[int, int]] = set()
    # The pixels of each frame's objects.
    covered: dict[int, dict] = {}
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            frame, entry = _entry(line.split())
            if entry.class_id != IGNORE and (frame, entry.object_id) in seen:
                raise ValueError(f"object {entry.object_id} is in frame {frame} already")
            _check_size(entry, frames.get(frame, []), frame)
            if entry.class_id != IGNORE:
                covered[frame] = _covered(entry, covered.get(frame), frame)
        except ValueError as error:
            raise ValueError(f"{file}: line {number}: {error}") from error
        seen.add((frame, entry.object_id))
        frames.setdefault(frame, []).append(entry)
    return MotsSequence(file.stem, file, frames)


def _entry(fields: list[str]) -> tuple[int, MotsMask]:
    if len(fields) != _FIELDS:
        raise ValueError(
            f"{len(fields)} fields; it must be frame, object, class, height, width, mask"
        )
    frame, object_id, class_id, height, width = (_whole(text) for text in fields[:5])
    if class_id not in CLASSES and class_id != IGNORE:
        raise ValueError(f"class {class_id}; it must be 1 (car), 2 (pedestrian) or 10 (ignore)")
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"{height} x {width} is no size of an image")
    if not area_of_code(fields[5], (height, width)):
        raise ValueError(f"the mask {fields[5][:40]!r} is empty")
    return frame, MotsMask(object_id, class_id, as_coco(fields[5], (height, width)))


def _check_size(entry: MotsMask, others: list[MotsMask], frame: int) -> None:
    size, before = entry.mask["size"], others[0].mask["size"] if others else entry.mask["size"]
    if size != before:
        raise ValueError(
            f"{size[0]} x {size[1]} pixels, where frame {frame} has {before[0]} x {before[1]}"
        )


def _covered(entry: MotsMask, before: dict | None, frame: int) -> dict:
    """Return the pixels of a frame's objects with another one; raise ValueError where it overlaps.

    The benchmark refuses these: of two masks on an object the better one would count.
    """
    if before is None:
        return entry.mask
    shared = int(coco_mask.area(coco_mask.merge([before, entry.mask], intersect=True)))
    if shared:
        raise ValueError(
            f"object {entry.object_id} lies by {shared} pixels on others of frame {frame}; a "
            "pixel is of one object at most"
        )
    return coco_mask.merge([before, entry.mask])


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise ValueError(f"{text[:40]!r} must be a whole number of {_MOST_DIGITS} digits at most")
    return int(text)
