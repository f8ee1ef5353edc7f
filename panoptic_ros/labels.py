"""Label sets, and the encoding of class and instance in one integer per pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

UNLABELED = 0
INSTANCE_DIVISOR = 1000
# Bits of the instance's number where class and instance share 32 bits.
SHIFT = 16
# 65 * 1000 + 535 is the last value that a uint16 holds.
LARGEST_UINT16_CLASS = 65


@dataclass(frozen=True)
class LabelClass:
    """Describe one class: its label id (1..), name, kind and display colour (RGB, 0..255)."""

    id: int
    name: str
    is_thing: bool
    color: tuple[int, int, int]


@dataclass(frozen=True)
class LabelSet:
    """Hold the classes of a data set, in the order of a network's channels (train ids)."""

    name: str
    classes: tuple[LabelClass, ...]

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, class_id: int) -> LabelClass:
        """Return the class with a label id; raise KeyError with the known ids otherwise."""
        try:
            return self.by_id[class_id]
        except KeyError:
            raise KeyError(
                f"label set {self.name!r} has no class id {class_id}; it has {sorted(self.by_id)}"
            ) from None

    @cached_property
    def by_id(self) -> dict[int, LabelClass]:
        """Map label id to class."""
        return {c.id: c for c in self.classes}

    @cached_property
    def by_name(self) -> dict[str, LabelClass]:
        """Map class name to class."""
        return {c.name: c for c in self.classes}

    @cached_property
    def ids(self) -> np.ndarray:
        """Label id of each channel, int64 [C]."""
        return np.array([c.id for c in self.classes], dtype=np.int64)

    @cached_property
    def is_thing(self) -> np.ndarray:
        """Whether each channel is a thing class, bool [C]."""
        return np.array([c.is_thing for c in self.classes])

    @property
    def things(self) -> tuple[LabelClass, ...]:
        """Thing classes, in channel order."""
        return tuple(c for c in self.classes if c.is_thing)

    @property
    def stuff(self) -> tuple[LabelClass, ...]:
        """Stuff classes, in channel order."""
        return tuple(c for c in self.classes if not c.is_thing)

    @cached_property
    def colors(self) -> np.ndarray:
        """Display colour by label id, uint8 [largest id + 1, 3], RGB; black where unused."""
        table = np.zeros((int(self.ids.max()) + 1, 3), np.uint8)
        for c in self.classes:
            table[c.id] = c.color
        return table

    @property
    def dtype(self) -> np.dtype:
        """Pixel type of a label image: uint16 where every id fits, else int32."""
        fits = int(self.ids.max()) <= LARGEST_UINT16_CLASS
        return np.dtype(np.uint16 if fits else np.int32)


def encode(class_id: int, instance: int) -> int:
    """Return the label-image value of a thing: class_id * 1000 + instance (0..999).

    The format of Cityscapes `gtFine_instanceIds`. Raise ValueError outside the range.
    """
    if not 0 <= instance < INSTANCE_DIVISOR:
        raise ValueError(f"instance number {instance} is not in 0..{INSTANCE_DIVISOR - 1}")
    return class_id * INSTANCE_DIVISOR + instance


def class_ids(labels: np.ndarray) -> np.ndarray:
    """Return the label id of each value of a label image, same shape and dtype.

    Values from 1000 on are class_id * 1000 + n, smaller ones are class ids.
    """
    return np.where(labels >= INSTANCE_DIVISOR, labels // INSTANCE_DIVISOR, labels).astype(
        labels.dtype, copy=False
    )


def shifted(values: np.ndarray) -> np.ndarray:
    """Return a label image's values as class_id << 16 | n, int32, same shape.

    n counts a class's things from 1 on and is 0 for stuff.
    The format of instance images in MIT-SPARK's semantic_inference, which Khronos takes.
    """
    table = np.arange(int(values.max(initial=0)) + 1)
    is_thing = table >= INSTANCE_DIVISOR
    number = np.where(is_thing, table % INSTANCE_DIVISOR + 1, 0)
    packed = class_ids(table) << SHIFT | number
    # Clipped, which nothing here is: the check of each value costs more than the look-up.
    return np.take(packed.astype(np.int32), values, mode="clip")


# Ids, order (train ids) and colours of Cityscapes, Cordts et al. 2016,
# cityscapesscripts/helpers/labels.py.
CITYSCAPES = LabelSet(
    "cityscapes",
    (
        LabelClass(7, "road", False, (128, 64, 128)),
        LabelClass(8, "sidewalk", False, (244, 35, 232)),
        LabelClass(11, "building", False, (70, 70, 70)),
        LabelClass(12, "wall", False, (102, 102, 156)),
        LabelClass(13, "fence", False, (190, 153, 153)),
        LabelClass(17, "pole", False, (153, 153, 153)),
        LabelClass(19, "traffic light", False, (250, 170, 30)),
        LabelClass(20, "traffic sign", False, (220, 220, 0)),
        LabelClass(21, "vegetation", False, (107, 142, 35)),
        LabelClass(22, "terrain", False, (152, 251, 152)),
        LabelClass(23, "sky", False, (70, 130, 180)),
        LabelClass(24, "person", True, (220, 20, 60)),
        LabelClass(25, "rider", True, (255, 0, 0)),
        LabelClass(26, "car", True, (0, 0, 142)),
        LabelClass(27, "truck", True, (0, 0, 70)),
        LabelClass(28, "bus", True, (0, 60, 100)),
        LabelClass(31, "train", True, (0, 80, 100)),
        LabelClass(32, "motorcycle", True, (0, 0, 230)),
        LabelClass(33, "bicycle", True, (119, 11, 32)),
    ),
)

# COCO category id -> Cityscapes label id, as report RT-0506 mapped them (no rider).
COCO_TO_CITYSCAPES = {1: 24, 2: 33, 3: 26, 4: 32, 6: 28, 7: 31, 8: 27}

LABEL_SETS = {CITYSCAPES.name: CITYSCAPES}


def label_set(name: str) -> LabelSet:
    """Return a label set by name; raise ValueError that lists the known ones."""
    try:
        return LABEL_SETS[name]
    except KeyError:
        raise ValueError(f"unknown label set {name!r}; known: {sorted(LABEL_SETS)}") from None
