"""Truth or predictions on disk: COCO-panoptic files, folders of label images, bags with them."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from panoptic_ros.datasets.cityscapes import draw_polygons
from panoptic_ros.datasets.classes import TRAIN_VOID, WANTED_IDS, hold_train_ids
from panoptic_ros.datasets.coco_files import (
    Annotation,
    BrokenFile,
    Category,
    read_colors,
    read_file,
    read_grid,
)
from panoptic_ros.datasets.kitti import read_kitti
from panoptic_ros.datasets.picture_files import files_below, refuse_twins
from panoptic_ros.labels import CITYSCAPES, INSTANCE_DIVISOR, LabelClass, LabelSet, class_ids
from panoptic_ros.scores.overlaps import ids_of_colors
from panoptic_ros.scores.segments import VOID

# The benchmark STEP (Weber et al. 2021) follows people and cars; riders, trucks ... are stuff.
KITTI_STEP = LabelSet(
    "kitti_step",
    tuple(
        LabelClass(c.id, c.name, c.name in ("person", "car"), c.color) for c in CITYSCAPES.classes
    ),
)
COCO, BAG = "coco", "bag"
BAG_SUFFIXES = (".db3", ".mcap")
# What tools append to a frame's name.
_SUFFIXES = ("_instanceIds", "_labelIds", "_panoptic", "_polygons", "_leftImg8bit", "_pred")
_KITTI = ("instance", "instances")
_LAST_CITYSCAPES_ID = 33
_LOOKED_AT = 8
# Common as train ids, and as label ids classes that are not scored; so many of them tell.
_RARE_LABEL_IDS = {2, 3, 5, 6, 9, 10, 14, 15, 16, 18}
_TELLING = 3


@dataclass(frozen=True)
class PanopticImage:
    """Hold one frame's segments.

    pixels: segment ids, integer [H, W], or as colours uint8 [H, W, 3] as `overlaps` takes them;
    annotation: what the segments are; track_ids: of things by their segment ids, None where
    the segment ids themselves last over the frames.
    """

    pixels: np.ndarray
    annotation: Annotation
    track_ids: Mapping[int, int] | None = None

    def ids(self) -> np.ndarray:
        """Return the segment ids, integer [H, W]."""
        return ids_of_colors(self.pixels) if self.pixels.ndim == 3 else self.pixels

    def labels(self, thing_ids: Iterable[int]) -> np.ndarray:
        """Return a label image, int64 [H, W]: class_id, or class_id * 1000 + n for things.

        thing_ids: the classes that are things; their crowds are the plain class id.
        """
        pixels = self.ids()
        ids, index = np.unique(pixels, return_inverse=True)
        seen: dict[int, int] = {}
        values = []
        for segment_id in ids.tolist():
            info = self.annotation.infos.get(segment_id)
            value = int(info["category_id"]) if info else VOID
            if info and value in thing_ids and not info.get("iscrowd"):
                number = seen[value] = seen.get(value, -1) + 1
                value = value * INSTANCE_DIVISOR + number % INSTANCE_DIVISOR
            values.append(value)
        return np.array(values, np.int64)[index].reshape(pixels.shape)


@dataclass(frozen=True)
class SourceEntry:
    """Hold one frame of a source; name: without what tools append, the same in every layout.

    read: raises BrokenFile or ValueError where the file cannot be used.
    """

    image_id: int | str
    name: str
    path: Path
    read: Callable[[], PanopticImage] = field(repr=False)

    def told(self, error: Exception) -> str:
        """Return an error's words with the file, and with the frame where a bag has several."""
        if str(self.path) in (words := str(error)):
            return words
        frame = f"frame {self.name}: " if _is_bag(self.path) else ""
        return f"{self.path}: {frame}{words}"


@dataclass(frozen=True)
class PanopticSource:
    """Hold what one side of a comparison consists of; kind: coco, bag or a name in FOLDERS.

    listed: the annotations of a COCO-panoptic file, whose own faults can be told from them;
    problems: what is broken in a bag, a line each, growing while frames are read.
    """

    path: Path
    kind: str
    entries: list[SourceEntry]
    categories: list[Category]
    labels: LabelSet
    listed: list[Annotation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def open_source(
    path: Path,
    folder: Path | None = None,
    kind: str | None = None,
    labels: LabelSet | None = None,
    topic: str | None = None,
) -> PanopticSource:
    """Open a COCO-panoptic JSON file, a folder of label images, or a bag.

    folder: of the JSON's PNG files, None: the folder of its name beside it; kind: coco, bag or a
    name in FOLDERS, None: found from the files; labels: the classes of a prediction's truth,
    None: the path is the truth itself; topic: of a bag, see `BagLabels`.
    Raise BrokenFile or OSError where it is not usable as a whole, ValueError for train ids.
    """
    if kind == BAG or (kind is None and _is_bag(path)):
        return _open_bag(path, topic, labels)
    if topic is not None:
        raise ValueError(f"{path} is no bag, but its topic {topic} is asked for")
    if kind == COCO or (kind is None and not path.is_dir()):
        return _open_coco(path, folder or path.with_suffix(""))
    if not path.is_dir():
        raise NotADirectoryError(f"{path}: no such folder; it should hold label images")
    kind = kind or _kind(path)
    classes = labels or (KITTI_STEP if kind == "kitti_step" else CITYSCAPES)
    names = FOLDERS[kind].names(path)
    if not names:
        raise FileNotFoundError(f"{path}: no {FOLDERS[kind].words} below it")
    read = FOLDERS[kind].read
    _refuse_train_ids(path, list(islice(names.values(), _LOOKED_AT)), read)
    entries = [
        SourceEntry(
            name,
            name,
            file,
            partial(_label_image, partial(read, file), classes, labels is None, name),
        )
        for name, file in sorted(names.items())
    ]
    return PanopticSource(path, kind, entries, _categories(classes), classes)


def labels_of(categories: Iterable[Category]) -> LabelSet:
    """Return a label set of a file's categories, in Cityscapes' colours where it has the name."""
    classes = []
    for i, c in enumerate({c.id: c for c in categories}.values()):
        known = CITYSCAPES.by_name.get(c.name)
        # Steps of the golden ratio: neighbours differ, whatever their number.
        shade = colorsys.hsv_to_rgb(i * 0.618 % 1, 0.45 + 0.4 * (i % 2), 0.85)
        red, green, blue = (round(255 * part) for part in shade)
        color = known.color if known else (red, green, blue)
        classes.append(LabelClass(c.id, c.name, c.is_thing, color))
    return LabelSet("categories", tuple(classes))


def _open_coco(path: Path, folder: Path) -> PanopticSource:
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: no such folder; it should hold the PNG files")
    content = read_file(path)
    listed, categories = content.annotations, content.categories

    def read(annotation: Annotation) -> PanopticImage:
        return PanopticImage(read_colors(folder / annotation.file_name), annotation)

    places = [Path(a.file_name) for a in listed]
    names = _frame_names([place.relative_to(place.anchor) for place in places])
    entries = [
        SourceEntry(a.image_id, name, folder / place, partial(read, a))
        for a, name, place in zip(listed, names, places, strict=True)
    ]
    return PanopticSource(path, COCO, entries, categories, labels_of(categories), listed)


def _is_bag(path: Path) -> bool:
    """Tell by its names whether a path is meant to be a rosbag2: a folder, or a file of one."""
    names = [file.name for file in (path.iterdir() if path.is_dir() else [path])]
    is_storage = [name.lower().removesuffix(".zstd").endswith(BAG_SUFFIXES) for name in names]
    return any(is_storage) or (path.is_dir() and "metadata.yaml" in names)


def _open_bag(path: Path, topic: str | None, labels: LabelSet | None) -> PanopticSource:
    # Imported here: label images on disk need no rosbags.
    from panoptic_ros.datasets.bag_labels import BagLabels

    is_truth, classes = labels is None, labels or CITYSCAPES
    bag = BagLabels(path, topic, is_truth=is_truth)

    def read(name: str) -> PanopticImage:
        image = _label_image(partial(bag.labels, name), classes, is_truth, name)
        return replace(image, track_ids=bag.track_ids(name)) if bag.has_tracks else image

    entries = [SourceEntry(name, name, path, partial(read, name)) for name in bag.names]
    return PanopticSource(path, BAG, entries, _categories(classes), classes, problems=bag.problems)


def _categories(labels: LabelSet) -> list[Category]:
    return [Category(c.id, c.name, c.is_thing) for c in labels.classes]


def _label_image(
    read: Callable[[], np.ndarray], labels: LabelSet, is_truth: bool, name: str
) -> PanopticImage:
    """Return a label image's segments; what is no class of the label set is void."""
    pixels = read()
    values = np.unique(pixels)
    known = np.isin(class_ids(values), labels.ids)
    strange = values[~known & (class_ids(values) > _LAST_CITYSCAPES_ID) & (values != TRAIN_VOID)]
    if len(strange) and not is_truth:
        raise ValueError(f"holds {strange[:10].tolist()}, of no class; {WANTED_IDS}")
    if not known.all():
        pixels = np.where(np.isin(pixels, values[known]), pixels, VOID)
    infos: dict[int, Mapping[str, int]] = {}
    for value in values[known].tolist():
        class_id = int(class_ids(np.array(value)))
        is_group = value < INSTANCE_DIVISOR and labels[class_id].is_thing
        infos[value] = {"id": value, "category_id": class_id, "iscrowd": int(is_group)}
    return PanopticImage(pixels, Annotation(name, name, infos))


def _refuse_train_ids(
    folder: Path, files: Iterable[Path], read: Callable[[Path], np.ndarray]
) -> None:
    """Raise ValueError where the first files of a folder are made of train ids."""
    classes: set[int] = set()
    for file in files:
        try:
            values = np.unique(read(file))
        except (OSError, ValueError):
            continue  # told when it is scored
        if hold_train_ids(values):
            raise ValueError(f"{file} looks like train ids (0..18); {WANTED_IDS}")
        classes |= set(class_ids(values).tolist())
    rare = classes & _RARE_LABEL_IDS
    if len(rare) >= _TELLING and max(classes) < len(CITYSCAPES):
        raise ValueError(
            f"{folder} looks like train ids (0..18): it holds {sorted(classes)}; {WANTED_IDS}"
        )


def frame_name(stem: str) -> str:
    """Return a file's stem without what tools append to the frame's name."""
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem.removesuffix("_gtFine").removesuffix("_gtCoarse")


def _kind(folder: Path) -> str:
    """Tell by names and by the first PNG that can be read what kind of labels a folder holds.

    Raise ValueError for the PNG files of a COCO-panoptic file, which alone says what they mean.
    """
    if _cityscapes_names(folder):
        return "cityscapes"
    files = _pngs(folder)
    if not files:
        raise FileNotFoundError(f"{folder}: no PNG file of labels below it")
    if any(file.parent.name in _KITTI for file in files):
        return "kitti"
    listed = files[0].parent.with_suffix(".json")
    if listed.is_file():
        raise ValueError(f"{files[0].parent} holds the PNG files of {listed}; give that file")
    for file in files[:_LOOKED_AT]:
        try:
            return "labels" if _has_palette(file) or read_grid(file).ndim == 2 else "kitti_step"
        except ValueError:
            continue  # told when it is scored
    return "labels"


def _pngs(folder: Path) -> list[Path]:
    return [file for file in files_below(folder, ".png") if file.is_file()]


def _named(files: Sequence[Path], folder: Path, least: int = 1) -> dict[str, Path]:
    """Return files by their frames' names, see `_frame_names`; raise ValueError for twins."""
    refuse_twins(files)
    names = _frame_names([file.relative_to(folder) for file in files], least)
    return dict(zip(names, files, strict=True))


def _frame_names(places: Sequence[Path], least: int = 1) -> list[str]:
    """Return the frames' names, with as many of their files' folders as tell them apart.

    least: how many parts a name has, at least.
    """
    for count in range(least, max((len(place.parts) for place in places), default=least) + 1):
        names = ["/".join((*place.parts[-count:-1], frame_name(place.stem))) for place in places]
        if len(set(names)) == len(set(places)):
            return names
    # Two files of one frame, as tools name them.
    return [place.with_suffix("").as_posix() for place in places]


def _cityscapes_names(folder: Path) -> dict[str, Path]:
    found = [p for p in _pngs(folder) if p.stem.endswith("_instanceIds")]
    frames = {(p.parent, frame_name(p.stem)) for p in found}
    polygons = files_below(folder, "_polygons.json")
    drawn = [p for p in polygons if (p.parent, frame_name(p.stem)) not in frames]
    return _named(found + drawn, folder)


def _png_names(folder: Path) -> dict[str, Path]:
    return _named(_pngs(folder), folder)


def _kitti_names(folder: Path) -> dict[str, Path]:
    files = _pngs(folder)
    return _named([f for f in files if f.parent.name in _KITTI] or files, folder)


def _step_names(folder: Path) -> dict[str, Path]:
    """Return STEP's SEQUENCE/FRAME.png; every sequence counts its frames from 0."""
    return _named(_pngs(folder), folder, least=2)


def _has_palette(path: Path) -> bool:
    """Say whether a PNG holds indices of colours; raise BrokenFile."""
    try:
        with Image.open(path) as picture:
            return picture.mode == "P"
    except OSError as error:  # so is Pillow's for what is no picture
        raise BrokenFile(f"{path}: cannot be decoded; it is truncated or no image") from error


def _read_labels(path: Path) -> np.ndarray:
    if path.suffix == ".json":
        return draw_polygons(path)
    image = read_grid(path)
    if image.ndim == 3 and _has_palette(path):
        # The indices are the labels, whatever colours a viewer is to show.
        image = np.array(Image.open(path))
    if image.ndim != 2:
        raise BrokenFile(f"{path}: {image.ndim} dimensions; labels are one number per pixel")
    return image.astype(np.uint16, copy=False)


def _read_step(path: Path) -> np.ndarray:
    """Return a STEP PNG (red: train id, 256 * green + blue: instance) as a label image, int64."""
    image = read_grid(path)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise BrokenFile(f"{path}: {image.dtype} {list(image.shape)}; STEP's are 8-bit RGB")
    blue, green, red = (plane.astype(np.int64) for plane in cv2.split(image)[:3])
    strange = np.unique(red[(red >= len(CITYSCAPES)) & (red != TRAIN_VOID)])
    if len(strange):
        raise BrokenFile(
            f"{path}: red is {strange[:5].tolist()}, no train id (0..18, 255); pictures of colours "
            "are no labels"
        )
    table = np.zeros(256, np.int64)
    table[: len(CITYSCAPES)] = CITYSCAPES.ids
    classes, numbers = table[red], 256 * green + blue
    is_numbered = (numbers > 0) & (numbers < INSTANCE_DIVISOR) & (classes > 0)
    too_large = np.unique(numbers[(numbers >= INSTANCE_DIVISOR) & (classes > 0)])
    if len(too_large):
        raise BrokenFile(f"{path}: instance {too_large[0]}; at most 999 are read")
    return np.where(is_numbered, classes * INSTANCE_DIVISOR + numbers, classes)


@dataclass(frozen=True)
class _Folder:
    """Say how a kind of folder is read; words: the files that it holds."""

    words: str
    names: Callable[[Path], dict[str, Path]]
    read: Callable[[Path], np.ndarray]


# Truth and predictions may be of different kinds.
FOLDERS: dict[str, _Folder] = {
    "cityscapes": _Folder("*_instanceIds.png or *_polygons.json", _cityscapes_names, _read_labels),
    "kitti": _Folder("PNG file (label id * 256 + n)", _kitti_names, read_kitti),
    "kitti_step": _Folder("PNG file (red: train id, green and blue: n)", _step_names, _read_step),
    "labels": _Folder("PNG file (label id, or label id * 1000 + n)", _png_names, _read_labels),
}
