"""How a parameter is described, checked, and found in nested dataclasses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor


class Change(Enum):
    """Say when a parameter can be set; the value completes the refusal at other times."""

    ANY_TIME = ""
    NOT_ACTIVE = "deactivate first"
    UNCONFIGURED = "deactivate and clean up first"
    START = "it only counts at the node's start"


# Lifecycle states in which each kind of parameter can be set; the others: in all.
_ALLOWED = {
    Change.NOT_ACTIVE: ("unconfigured", "inactive"),
    Change.UNCONFIGURED: ("unconfigured",),
    Change.START: (),
}


@dataclass(frozen=True)
class Spec:
    """Describe a parameter.

    limits: smallest and largest value of a number; special: the smallest one, where it has a
    meaning of its own and the others begin at 0; pattern: what a string must match; allowed
    says it in words.
    """

    description: str
    change: Change = Change.ANY_TIME
    limits: tuple[float, float] | None = None
    special: float | None = None
    pattern: str | None = None
    allowed: str = ""

    def check(self, name: str, value: object) -> None:
        """Raise ValueError, with the reason, for a value that cannot be."""
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise ValueError(f"{name} is {value!r}; it must be {self.allowed}")
        if self.limits and not self.limits[0] <= value <= self.limits[1]:
            raise ValueError(f"{name} is {value}; it must be in {self.limits}")
        if self.special is not None and self.special < value < 0:
            raise ValueError(f"{name} is {value}; it must be {self.allowed}")

    def check_state(self, name: str, state: str) -> None:
        """Raise ValueError where the parameter cannot change in a lifecycle state."""
        if state not in _ALLOWED.get(self.change, (state,)):
            raise ValueError(f"{name} cannot change while {state}: {self.change.value}")

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


def parameter(default: Any, description: str, **spec: Any) -> Any:
    """Return the field of a dataclass that declares a parameter; spec: fields of Spec."""
    return field(default=default, metadata={"spec": Spec(description, **spec)})


def choice(default: str, description: str, *choices: str, **spec: Any) -> Any:
    """Return the field of a parameter that is one of several strings."""
    pattern = "|".join(map(re.escape, choices))
    allowed = "one of " + ", ".join(repr(c) for c in choices)
    return parameter(default, description, pattern=pattern, allowed=allowed, **spec)


def leaves(parameters: Any, prefix: str = "") -> Iterator[tuple[str, object, Spec]]:
    """Yield the dotted name, value and Spec of each parameter."""
    for entry in fields(parameters):
        value = getattr(parameters, entry.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{entry.name}.")
        else:
            yield prefix + entry.name, value, entry.metadata["spec"]
