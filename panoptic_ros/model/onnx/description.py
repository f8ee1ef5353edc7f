"""The YAML file that says what an ONNX network wants and gives; docs/weights.md shows one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from panoptic_ros.labels import LabelSet

T = TypeVar("T")
TASKS = ("semantic", "instance")


@dataclass(frozen=True)
class OnnxInput:
    """Say how an image becomes the input tensor.

    name: empty takes the graph's first; layout: NCHW, NHWC or CHW (no batch axis);
    color: RGB or BGR; then (pixel * scale - mean) / std, with mean and std in the order of color.
    """

    name: str = ""
    layout: str = "NCHW"
    color: str = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        _one_of("layout", self.layout, ("NCHW", "NHWC", "CHW"))
        _one_of("color", self.color, ("RGB", "BGR"))
        for name in ("mean", "std"):
            values = np.asarray(getattr(self, name), float)
            if values.shape != (3,) or not np.isfinite(values).all():
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be three numbers")
            object.__setattr__(self, name, tuple(values.tolist()))
        if not (self.scale > 0 and min(self.std) > 0):
            raise ValueError(f"scale {self.scale} and std {self.std} must be above 0")


@dataclass(frozen=True)
class SemanticOutput:
    """Say what a semantic network gives.

    name: empty takes the graph's first output; kind: logits or probabilities
    ([1, C, h, w] or [C, h, w]), or labels (class indices, [1, h, w], [h, w] or [1, 1, h, w]).
    """

    name: str = ""
    kind: str = "logits"

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, ("logits", "probabilities", "labels"))


@dataclass(frozen=True)
class InstanceOutput:
    """Name the outputs of an instance network, for N instances and an input of h x w.

    boxes: [N, 4] xyxy, pixels of the input; labels: [N], index into classes; scores: [N];
    masks: probabilities, [N, 1, M, M] or [N, M, M] in the box's frame (mask_frame: box), or
    [N, 1, h, w] or [N, h, w] (mask_frame: image). Each may have a batch axis of 1 before.
    """

    boxes: str = "boxes"
    labels: str = "labels"
    scores: str = "scores"
    masks: str = "masks"
    mask_frame: str = "image"

    def __post_init__(self) -> None:
        _one_of("mask_frame", self.mask_frame, ("image", "box"))


@dataclass(frozen=True)
class OnnxDescription:
    """Describe an ONNX network.

    file: the .onnx; classes: a class name of the label set per index of the network's output;
    several may have one name; None for what is no class of the set (background, other classes).
    """

    file: Path
    task: str
    input: OnnxInput
    output: SemanticOutput | InstanceOutput
    classes: tuple[str | None, ...]

    def class_ids(self, labels: LabelSet) -> np.ndarray:
        """Return the label id of each output index, int64 [len(classes)], 0 for none.

        Raise ValueError for a class that the label set lacks, or that is no thing where
        instances are asked for.
        """
        known = {c.name: c for c in labels.classes}
        ids = []
        for name in self.classes:
            if name is not None and name not in known:
                raise ValueError(
                    f"{self.file}: class {name!r} is none of label set {labels.name!r}: "
                    f"{', '.join(known)}"
                )
            if name is not None and self.task == "instance" and not known[name].is_thing:
                raise ValueError(f"{self.file}: class {name!r} is no thing, it has no instances")
            ids.append(0 if name is None else known[name].id)
        return np.array(ids, np.int64)


def load_description(path: Path, task: str) -> OnnxDescription:
    """Read the description of a network for a task (semantic, instance).

    Raise FileNotFoundError where it or its .onnx is missing; ValueError that names file and
    key where one is missing, unknown or impossible, or the network is for the other task.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no ONNX description {path}")
    try:
        content = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    keys = _mapping(content, f"{path}", ("file", "task", "input", "output", "classes"))
    for key in ("file", "task", "classes"):
        if key not in keys:
            raise ValueError(f"{path}: {key} is missing")
    if keys["task"] != task:
        raise ValueError(f"{path}: task is {keys['task']!r}, a network for {task!r} is needed")
    file = path.parent / str(keys["file"])
    if not file.is_file():
        raise FileNotFoundError(f"{path}: there is no file {file}")
    image = _made(OnnxInput, keys.get("input", {}), f"{path}: input")
    kind = SemanticOutput if task == "semantic" else InstanceOutput
    output = _made(kind, keys.get("output", {}), f"{path}: output")
    classes = _classes(keys["classes"], path)
    if isinstance(output, SemanticOutput) and output.kind == "labels" and None in classes:
        # Of logits the next best class is taken; an index leaves nothing but a guess.
        raise ValueError(f"{path}: with `kind: labels` each index needs a class, null is none")
    return OnnxDescription(file, task, image, output, classes)


def _classes(content: Any, path: Path) -> tuple[str | None, ...]:
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: classes must be a list of names, null for none")
    for name in content:
        if not isinstance(name, str | None):
            raise ValueError(f"{path}: classes holds {name!r}; it must be a name or null")
    if not any(content):
        raise ValueError(f"{path}: classes must name at least one class")
    return tuple(content)


def _made(kind: type[T], content: Any, where: str) -> T:
    known = tuple(f.name for f in fields(kind) if f.default is not MISSING)
    try:
        return kind(**_mapping(content, where, known))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _mapping(content: Any, where: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, not {content!r}")
    for key in content:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
    return content


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; known: {', '.join(known)}")
