"""The node's parameters: typed, described, and checked before they count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from rclpy.node import Node

from panoptic_ros.fusion import STRATEGIES, FusionOptions
from panoptic_ros.ros.ground_parameters import GroundParameters
from panoptic_ros.ros.parameter_spec import Change, choice, leaves, parameter

MODEL_DEFAULT = -1
THRESHOLDS = ("score_threshold", "overlap_threshold", "stuff_area_limit", "mask_threshold")


def _threshold(description: str, limits: tuple[float, float] = (-1.0, 1.0)) -> Any:
    return parameter(
        type(limits[0])(MODEL_DEFAULT),
        description,
        limits=limits,
        special=MODEL_DEFAULT,
        allowed=f"0..{limits[1]}, or {MODEL_DEFAULT}: the model's own",
    )


def _output(what: str) -> Any:
    return parameter(True, f"Publish ~/{what} (computed only while somebody subscribes).")


@dataclass(frozen=True)
class QosParameters:
    """Hold the quality of service of the image subscription."""

    reliability: str = choice(
        "best_effort",
        "Reliability of the image subscription. best_effort matches every camera; reliable "
        "asks for lost packets again and matches reliable cameras only.",
        "best_effort",
        "reliable",
        change=Change.NOT_ACTIVE,
    )
    depth: int = parameter(
        5,
        "Frames that the middleware keeps until the node takes them, which it does at once; "
        "of those that it has taken it keeps the newest.",
        change=Change.NOT_ACTIVE,
        limits=(1, 100),
    )


@dataclass(frozen=True)
class OutputParameters:
    """Say which outputs are published."""

    labels: bool = _output("labels")
    semantic: bool = _output("semantic")
    confidence: bool = _output("confidence")
    instances: bool = _output("instances")
    color: bool = _output("color")
    grid: bool = _output("grid")
    class_grid: bool = _output("class_grid")
    cost_grid: bool = _output("cost_grid")
    grid_layers: bool = _output("grid_layers")
    markers: bool = _output("markers")


@dataclass(frozen=True)
class Parameters:
    """Hold all parameters; nested fields have dotted names, as in `qos.depth`."""

    autostart: bool = parameter(
        True,
        "Configure and activate at start; false: wait for a lifecycle manager.",
        change=Change.START,
    )
    weights: str = parameter(
        "town",
        "Model: NAME of config/models/NAME.yaml, or the path of such a file.",
        change=Change.UNCONFIGURED,
        pattern=r".*\S.*",
        allowed="a name or a path",
    )
    device: str = parameter(
        "auto",
        "Device of the networks; auto: CUDA where there is one, else the CPU.",
        change=Change.UNCONFIGURED,
        pattern=r"auto|cpu|cuda(:\d+)?",
        allowed="auto, cpu, cuda or cuda:N",
    )
    image_transport: str = choice(
        "raw",
        "Type of the image topic: raw is sensor_msgs/Image, compressed is "
        "sensor_msgs/CompressedImage (JPEG or PNG).",
        "raw",
        "compressed",
        change=Change.NOT_ACTIVE,
    )
    fusion: str = choice(
        "",
        "How semantic and instance predictions are merged; '' is the model's own choice.",
        "",
        *sorted(STRATEGIES),
    )
    score_threshold: float = _threshold("Instances with a lower score are ignored.")
    overlap_threshold: float = _threshold(
        "An instance of which better ones cover more than this share is dropped."
    )
    stuff_area_limit: int = _threshold(
        "A stuff class with fewer pixels in the image becomes unlabeled.", (-1, 1 << 30)
    )
    mask_threshold: float = _threshold(
        "An instance holds the pixels where its mask reaches this probability (not 0 or 1)."
    )
    qos: QosParameters = field(default_factory=QosParameters)
    outputs: OutputParameters = field(default_factory=OutputParameters)
    ground: GroundParameters = field(default_factory=GroundParameters)

    def __post_init__(self) -> None:
        self.fusion_options(FusionOptions())
        self.ground.options()

    def fusion_options(self, model: FusionOptions) -> FusionOptions:
        """Return the model's thresholds, replaced where a parameter sets its own.

        Raise ValueError that names the threshold and its range.
        """
        own = {name: getattr(self, name) for name in THRESHOLDS}
        return replace(model, **{k: v for k, v in own.items() if v != MODEL_DEFAULT})


def declare(node: Node) -> Parameters:
    """Declare all parameters on a node and return their values.

    Raise ValueError, with the reason, for a bad value in a launch or parameters file.
    """
    values = {}
    for name, default, spec in leaves(Parameters()):
        values[name] = node.declare_parameter(name, default, spec.descriptor(default)).value
    return updated(Parameters(), values)


def updated(current: Parameters, changes: Mapping[str, object], state: str = "") -> Parameters:
    """Return the parameters after a change.

    changes: dotted names to values; names that are not the package's are passed over.
    state: the node's lifecycle state; "" before it has one, where everything can be set.
    Raise ValueError, with the reason, for a value that cannot be, or not in this state.
    """
    for name, value, spec in leaves(current):
        if name not in changes:
            continue
        spec.check(name, changes[name])
        if state and changes[name] != value:
            spec.check_state(name, state)
    return _replaced(current, changes)


def _replaced(current: Any, changes: Mapping[str, object], prefix: str = "") -> Any:
    new = {}
    for entry in fields(current):
        name, value = prefix + entry.name, getattr(current, entry.name)
        nested = is_dataclass(value)
        new[entry.name] = (
            _replaced(value, changes, f"{name}.") if nested else changes.get(name, value)
        )
    return replace(current, **new)
