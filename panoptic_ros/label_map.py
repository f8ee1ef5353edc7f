"""Other classes for the outputs: a model's classes under any ids and names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.documents import make, named, read_yaml
from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, LabelClass, LabelSet, encode
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.resources import expanded

# What a pixel of ~/semantic holds.
_LARGEST_ID = 255


@dataclass(frozen=True)
class _Entry:
    """Hold a class of the file.

    of: names of the model's classes that it stands for; is_thing: None where all of them say the
    same; color: RGB, None: the first one's.
    """

    id: int
    name: str
    of: tuple[str, ...]
    is_thing: bool | None = None
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class _File:
    """Hold the keys of a label map; name: of the label set, "": the file's."""

    classes: tuple[_Entry, ...]
    name: str = ""


@dataclass(frozen=True)
class LabelMap:
    """Say which class of the outputs each class of a model is.

    labels: the outputs' classes; ids: int64, the output's label id by that of the model, 0 for
    what the outputs do not have.
    """

    labels: LabelSet
    ids: np.ndarray

    @classmethod
    def identity(cls, labels: LabelSet) -> LabelMap:
        """Return the map that leaves all classes as they are."""
        return cls(labels, _table(labels, {c.id: c.id for c in labels.classes}))

    @classmethod
    def read(cls, file: str | Path, labels: LabelSet) -> LabelMap:
        """Read a map of a model's classes from YAML (docs/node.md tells its keys).

        Classes that it does not name are unlabeled. Raise FileNotFoundError, or ValueError that
        names the file and what is wrong in it.
        """
        path = expanded(file)
        content = make(_File, read_yaml(path), str(path))
        return named(str(path), lambda: _of_file(content, path.stem, labels))

    def only(self, class_ids: tuple[int, ...]) -> LabelMap:
        """Return the map without all other classes of the model; none given: as it is."""
        if not class_ids:
            return self
        kept = np.isin(np.arange(len(self.ids)), class_ids)
        return replace(self, ids=np.where(kept, self.ids, UNLABELED))

    def classes(self, class_ids: np.ndarray) -> np.ndarray:
        """Return the outputs' label ids of the model's, both uint8 [H, W]."""
        return cv2.LUT(class_ids, self._bytes)

    def probabilities(self, values: np.ndarray, labels: LabelSet) -> np.ndarray:
        """Return probabilities of the outputs' classes, [T, ...], from the model's, [C, ...].

        labels: the model's. They sum up to less than 1 where the outputs lack a class.
        """
        if labels is self.labels:
            return values
        channel = {c.id: i for i, c in enumerate(self.labels.classes)}
        found = np.zeros((len(channel), *values.shape[1:]), values.dtype)
        for class_id, layer in zip(labels.ids.tolist(), values, strict=True):
            if self.ids[class_id]:
                found[channel[int(self.ids[class_id])]] += layer
        return found

    def prediction(self, panoptic: PanopticPrediction) -> tuple[PanopticPrediction, dict[int, int]]:
        """Return a prediction in the outputs' classes, and the new value of each old one.

        Instances of a class are numbered in the order of their segments, those beyond 1000 are
        unlabeled; things whose class is stuff now are one segment.
        """
        is_same = panoptic.labels.dtype == self.labels.dtype
        if is_same and all(map(self._keeps, panoptic.segments)):
            return panoptic, {s.id: s.id for s in panoptic.segments}
        counts: Counter[int] = Counter()
        values: dict[int, int] = {}
        segments: dict[int, Segment] = {}
        for segment in panoptic.segments:
            value = self._value(int(self.ids[segment.class_id]), counts)
            values[segment.id] = value
            if value:
                segments[value] = self._joined(segment, value, segments.get(value))
        table = np.zeros(max(values, default=0) + 1, self.labels.dtype)
        table[list(values)] = list(values.values())
        return (
            PanopticPrediction(
                np.take(table, panoptic.labels, mode="clip"), list(segments.values())
            ),
            values,
        )

    @cached_property
    def _bytes(self) -> np.ndarray:
        table = np.zeros(256, np.uint8)
        table[: len(self.ids)] = self.ids[:256]
        return table

    def _keeps(self, segment: Segment) -> bool:
        """Return whether a segment has its class and kind in the outputs, too."""
        class_id = segment.class_id
        if self.ids[class_id] != class_id:
            return False
        return self.labels[class_id].is_thing or not segment.is_thing

    def _value(self, class_id: int, counts: Counter[int]) -> int:
        """Return the next value of a class, 0 where there is none."""
        if class_id == UNLABELED or not self.labels[class_id].is_thing:
            return class_id
        number = counts[class_id]
        counts[class_id] += 1
        return encode(class_id, number) if number < INSTANCE_DIVISOR else UNLABELED

    def _joined(self, segment: Segment, value: int, other: Segment | None) -> Segment:
        """Return a segment under its new value, together with another of the same one."""
        class_id = int(self.ids[segment.class_id])
        if self.labels[class_id].is_thing:
            return replace(segment, id=value, class_id=class_id)
        boxes = np.array([s.box for s in (segment, other) if s is not None])
        x0, y0 = boxes[:, :2].min(0).tolist()
        x1, y1 = boxes[:, 2:].max(0).tolist()
        area = segment.area + (other.area if other else 0)
        return Segment(value, class_id, False, 1.0, area, (x0, y0, x1, y1))


def _of_file(content: _File, stem: str, labels: LabelSet) -> LabelMap:
    taken: dict[int, int] = {}
    classes = []
    for entry in content.classes:
        sources = [_source(name, entry, labels) for name in entry.of]
        classes.append(_class(entry, sources))
        for source in sources:
            if source.id in taken:
                raise ValueError(f"{source.name!r} is part of two classes")
            taken[source.id] = entry.id
    for what in ("id", "name"):
        counts = Counter(getattr(c, what) for c in classes)
        if twice := [repr(value) for value, count in counts.items() if count > 1]:
            raise ValueError(f"{what} {twice[0]} is there twice")
    if not classes:
        raise ValueError("classes is empty")
    return LabelMap(LabelSet(content.name or stem, tuple(classes)), _table(labels, taken))


def _source(name: str, entry: _Entry, labels: LabelSet) -> LabelClass:
    if name not in labels.by_name:
        raise ValueError(
            f"{entry.name!r} is of {name!r}, which the model does not know; it knows "
            f"{list(labels.by_name)}"
        )
    return labels.by_name[name]


def _class(entry: _Entry, sources: list[LabelClass]) -> LabelClass:
    if not 1 <= entry.id <= _LARGEST_ID:
        raise ValueError(f"{entry.name!r} has id {entry.id}; it must be in 1..{_LARGEST_ID}")
    if not sources:
        raise ValueError(f"{entry.name!r} is of no class; name at least one in `of`")
    kinds = {source.is_thing for source in sources}
    is_thing = kinds == {True} if entry.is_thing is None else entry.is_thing
    if is_thing and False in kinds:
        stuff = [source.name for source in sources if not source.is_thing]
        raise ValueError(f"{entry.name!r} cannot be a thing: {stuff} of it have no instances")
    color = entry.color or sources[0].color
    if not all(0 <= value <= 255 for value in color):
        raise ValueError(f"{entry.name!r} has color {list(color)}; each must be in 0..255")
    return LabelClass(entry.id, entry.name, is_thing, color)


def _table(labels: LabelSet, ids: dict[int, int]) -> np.ndarray:
    """Return an output's id by label id of the model."""
    table = np.zeros(int(labels.ids.max()) + 1, np.int64)
    table[list(ids)] = list(ids.values())
    return table
