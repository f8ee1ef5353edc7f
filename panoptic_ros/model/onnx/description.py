"""The YAML file that says what an ONNX network wants and gives; docs/weights.md shows some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from panoptic_ros.documents import make, read_yaml
from panoptic_ros.labels import LabelSet

LAYOUTS = ("NCHW", "NHWC", "CHW", "HWC")
FITS = ("stretch", "letterbox")


@dataclass(frozen=True)
class OnnxInput:
    """Say how an image becomes the input tensor; what is left out is read from the graph.

    name: empty takes the graph's only input; layout: one of LAYOUTS, empty finds the axis of
    three channels; color: RGB or BGR; then (pixel * scale - mean) / std, pixels 0..255, with
    mean and std in the order of color, rounded where the graph takes integers; scale: None is
    1 / 255, and 1 for integers.
    multiple_of: both sides must be multiples of it; None finds it by trying;
    fit: how an image comes to the size that the graph fixes, or to such multiples: `stretch`,
    or `letterbox`, which keeps its proportions and pads with grey; empty stretches to a fixed
    size and letterboxes to multiples.
    """

    name: str = ""
    layout: str = ""
    color: str = "RGB"
    scale: float | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    multiple_of: int | None = None
    fit: str = ""

    def __post_init__(self) -> None:
        _one_of("layout", self.layout, ("", *LAYOUTS))
        _one_of("color", self.color, ("RGB", "BGR"))
        _one_of("fit", self.fit, ("", *FITS))
        if not (self.scale is None or self.scale > 0) or min(self.std) <= 0:
            raise ValueError(f"scale {self.scale} and std {self.std} must be above 0")
        if self.multiple_of is not None and not 1 <= self.multiple_of <= 1024:
            raise ValueError(f"multiple_of is {self.multiple_of}; it must be in 1..1024")


@dataclass(frozen=True)
class SemanticOutput:
    """Say what a semantic network gives.

    name: empty takes the graph's first output; kind: logits or probabilities (C channels, first
    or last), or labels (class indices), each with or without an axis for the batch.
    """

    name: str = ""
    kind: str = "logits"

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, ("logits", "probabilities", "labels"))


@dataclass(frozen=True)
class InstanceOutput:
    """Name the outputs of a network that gives its instances, N of them for an input of h x w.

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
class RawOutput:
    """Name the outputs of a detector that leaves the choice of its instances to us (YOLO's kind).

    predictions: per anchor a box (4), perhaps one objectness, a score per class and K mask
    coefficients, [A, 4 + C + K] or transposed; empty takes the graph's first output. Where
    they come apart: boxes [A, 4], scores [A, C], coefficients [A, K].
    prototypes: [K, h, w]; empty takes the graph's last output. A mask is the sigmoid of
    coefficients times prototypes. Each may have a batch axis of 1 before.
    box_format: cxcywh or xyxy; relative: in 0..1 of the input, not in its pixels; sigmoid:
    scores (and objectness) are logits; objectness: whether predictions have one, None finds it by
    the number of values. score_threshold, iou_threshold: of the selection (NMS
    by class); detections: most of them per image.
    """

    predictions: str = ""
    boxes: str = ""
    scores: str = ""
    coefficients: str = ""
    prototypes: str = ""
    box_format: str = "cxcywh"
    relative: bool = False
    sigmoid: bool = False
    objectness: bool | None = None
    score_threshold: float = 0.25
    iou_threshold: float = 0.5
    detections: int = 100

    def __post_init__(self) -> None:
        _one_of("box_format", self.box_format, ("cxcywh", "xyxy"))
        apart = (self.boxes, self.scores, self.coefficients)
        if any(apart) and (self.predictions or not all(apart)):
            raise ValueError("name predictions, or boxes, scores and coefficients, all three")
        for name in ("score_threshold", "iou_threshold"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in ]0, 1]")
        if self.detections < 1:
            raise ValueError(f"detections is {self.detections}; it must be >= 1")


@dataclass(frozen=True)
class PanopticOutput(InstanceOutput):
    """Name the outputs of a network that gives both; each as the other two classes say."""

    mask_frame: str = "box"
    logits: str = "logits"


Output = SemanticOutput | InstanceOutput | RawOutput | PanopticOutput


@dataclass(frozen=True)
class OnnxDescription:
    """Describe an ONNX network.

    file: the .onnx; classes: a class name of the label set per index of the network's output;
    several may have one name; None for what is no class of the set (background, other classes);
    things: the same for the labels of the instances, where the task is panoptic; exported_from:
    part of a model -> SHA-256 of the weights that the file was exported from, if it was.
    """

    file: Path
    task: str
    input: OnnxInput
    output: Output
    classes: tuple[str | None, ...]
    things: tuple[str | None, ...] = ()
    exported_from: Mapping[str, str] = field(default_factory=dict)

    def halves(self) -> tuple[OnnxDescription, OnnxDescription]:
        """Return the descriptions of the semantic and the instance half of a panoptic network."""
        assert isinstance(self.output, PanopticOutput)
        return (
            replace(self, task="semantic", output=SemanticOutput(self.output.logits)),
            replace(self, task="instance", classes=self.things),
        )

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
                    f"{', '.join(known)}; write null for what is none of them"
                )
            if name is not None and self.task == "instance" and not known[name].is_thing:
                raise ValueError(f"{self.file}: class {name!r} is no thing, it has no instances")
            ids.append(0 if name is None else known[name].id)
        return np.array(ids, np.int64)


@dataclass(frozen=True)
class _File:
    """Hold the keys of a description; those without a default must be there."""

    file: str
    task: str
    classes: tuple[str | None, ...]
    input: OnnxInput = field(default_factory=OnnxInput)
    output: Mapping[str, Any] | None = None
    things: tuple[str | None, ...] = ()
    exported_from: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("task", self.task, ("semantic", "instance", "panoptic"))
        if any(self.things) != (self.task == "panoptic"):
            raise ValueError("things names the classes of the instances of a panoptic network only")
        if not any(self.classes):
            raise ValueError("classes must name at least one class, null for what is none of ours")


def load_description(path: Path, task: str) -> OnnxDescription:
    """Read the description of a network for a task (semantic, instance, panoptic).

    Raise FileNotFoundError where it or its .onnx is missing; ValueError that names file and
    key where one is missing, unknown or impossible, or the network is for the other task.
    """
    raw = _read(path)
    if raw.task != task:
        raise ValueError(f"{path}: task is {raw.task!r}, a network for {task!r} is needed")
    file = described_file(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path}: there is no file {file}")
    output = _output(task, dict(raw.output or {}), f"{path}: output")
    return OnnxDescription(
        file, task, raw.input, output, raw.classes, raw.things, raw.exported_from
    )


def described_file(path: Path) -> Path:
    """Return the .onnx file of a description; raise as `load_description` does."""
    return path.parent / _read(path).file


def exported_from(path: Path) -> Mapping[str, str]:
    """Return what a description says of the weights behind its file, by part of a model."""
    return _read(path).exported_from


def _read(path: Path) -> _File:
    if not path.is_file():
        raise FileNotFoundError(f"there is no ONNX description {path}")
    return make(_File, read_yaml(path), str(path))


def _output(task: str, keys: dict[str, Any], where: str) -> Output:
    if task == "semantic":
        return make(SemanticOutput, keys, where)
    if task == "panoptic":
        return make(PanopticOutput, keys, where)
    kind = keys.pop("kind", "instances")
    if kind not in ("instances", "yolo"):
        raise ValueError(f"{where}: kind is {kind!r}; known: instances, yolo")
    if kind == "yolo":
        return make(RawOutput, keys, where)
    return make(InstanceOutput, keys, where)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; known: {', '.join(filter(None, known))}")
