"""The node's parameters: typed, described, and checked before they count."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from panoptic_ros.fusion import STRATEGIES, FusionOptions

MODEL_DEFAULT = -1
THRESHOLDS = ("score_threshold", "overlap_threshold", "stuff_area_limit", "mask_threshold")


class Change(Enum):
    """Say when a parameter can be set; the value completes the refusal at other times."""

    ANY_TIME = ""
    NOT_ACTIVE = "deactivate first"
    UNCONFIGURED = "deactivate and clean up first"
    START = "it only counts at the node's start"


# Lifecycle states in which each kind of parameter can be set.
_ALLOWED = {
    Change.NOT_ACTIVE: ("unconfigured", "inactive"),
    Change.UNCONFIGURED: ("unconfigured",),
    Change.START: (),
}


@dataclass(frozen=True)
class Spec:
    """Describe a parameter.

    limits: smallest and largest value of a number; pattern: what a string must match, and
    allowed says so in words.
    """

    description: str
    change: Change = Change.ANY_TIME
    limits: tuple[float, float] | None = None
    pattern: str | None = None
    allowed: str = ""

    def check(self, name: str, value: object) -> None:
        """Raise ValueError, with the reason, for a value that cannot be."""
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise ValueError(f"{name} is {value!r}; it must be {self.allowed}")
        if self.limits and not self.limits[0] <= value <= self.limits[1]:
            raise ValueError(f"{name} is {value}; it must be in {self.limits}")
        if name in THRESHOLDS and MODEL_DEFAULT < value < 0:
            raise ValueError(f"{name} is {value}; it must be {self.allowed}")

    def descriptor(self, default: object) -> ParameterDescriptor:
        """Return what `ros2 param describe` shows."""
        descriptor = ParameterDescriptor(
            description=self.description,
            additional_constraints=self.allowed,
            read_only=self.change is Change.START,
        )
        if self.limits and isinstance(default, float):
            low, high = self.limits
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        elif self.limits:
            low, high = self.limits
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
        return descriptor


def _parameter(default: Any, description: str, **spec: Any) -> Any:
    return field(default=default, metadata={"spec": Spec(description, **spec)})


def _choice(default: str, description: str, *choices: str, **spec: Any) -> Any:
    pattern = "|".join(map(re.escape, choices))
    allowed = "one of " + ", ".join(repr(c) for c in choices)
    return _parameter(default, description, pattern=pattern, allowed=allowed, **spec)


def _threshold(description: str, limits: tuple[float, float] = (-1.0, 1.0)) -> Any:
    return _parameter(
        type(limits[0])(MODEL_DEFAULT),
        description,
        limits=limits,
        allowed=f"0..{limits[1]}, or {MODEL_DEFAULT}: the model's own",
    )


def _output(what: str) -> Any:
    return _parameter(True, f"Publish ~/{what} (computed only while somebody subscribes).")


@dataclass(frozen=True)
class QosParameters:
    """Hold the quality of service of the image subscription."""

    reliability: str = _choice(
        "best_effort",
        "Reliability of the image subscription. best_effort matches every camera; reliable "
        "asks for lost packets again and matches reliable cameras only.",
        "best_effort",
        "reliable",
        change=Change.NOT_ACTIVE,
    )
    depth: int = _parameter(
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


@dataclass(frozen=True)
class Parameters:
    """Hold all parameters; nested fields have dotted names, as in `qos.depth`."""

    autostart: bool = _parameter(
        True,
        "Configure and activate at start; false: wait for a lifecycle manager.",
        change=Change.START,
    )
    weights: str = _parameter(
        "town",
        "Model: NAME of config/models/NAME.yaml, or the path of such a file.",
        change=Change.UNCONFIGURED,
        pattern=r".*\S.*",
        allowed="a name or a path",
    )
    device: str = _parameter(
        "auto",
        "Device of the networks; auto: CUDA where there is one, else the CPU.",
        change=Change.UNCONFIGURED,
        pattern=r"auto|cpu|cuda(:\d+)?",
        allowed="auto, cpu, cuda or cuda:N",
    )
    image_transport: str = _choice(
        "raw",
        "Type of the image topic: raw is sensor_msgs/Image, compressed is "
        "sensor_msgs/CompressedImage (JPEG or PNG).",
        "raw",
        "compressed",
        change=Change.NOT_ACTIVE,
    )
    fusion: str = _choice(
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

    def __post_init__(self) -> None:
        self.fusion_options(FusionOptions())

    def fusion_options(self, model: FusionOptions) -> FusionOptions:
        """Return the model's thresholds, replaced where a parameter sets its own.

        Raise ValueError that names the threshold and its range.
        """
        own = {name: getattr(self, name) for name in THRESHOLDS}
        return replace(model, **{k: v for k, v in own.items() if v != MODEL_DEFAULT})


def leaves(parameters: Any, prefix: str = "") -> Iterator[tuple[str, object, Spec]]:
    """Yield the dotted name, value and Spec of each parameter."""
    for entry in fields(parameters):
        value = getattr(parameters, entry.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, value, entry.metadata["spec"]


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
        refused = state and state not in _ALLOWED.get(spec.change, (state,))
        if refused and changes[name] != value:
            raise ValueError(f"{name} cannot change while {state}: {spec.change.value}")
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
