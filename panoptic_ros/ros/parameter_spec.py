"""Parameters from nested dataclasses: declared, checked, described, and written as YAML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from panoptic_ros.options import Option

P = TypeVar("P")

_YAML_COLUMNS = 98


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
_WORDS = {
    None: "",
    Change.ANY_TIME: "",
    Change.NOT_ACTIVE: "Set while unconfigured or inactive.",
    Change.UNCONFIGURED: "Set while unconfigured.",
    Change.START: "Only counts at start.",
}


@dataclass(frozen=True)
class Leaf:
    """Hold a parameter: dotted name, value, description, and when it can change."""

    name: str
    value: Any
    option: Option
    change: Change

    def checked(self, value: Any) -> Any:
        """Return a value as the dataclass has it; raise ValueError, with the reason, for a bad one.

        value: a list of strings becomes a tuple; None, an empty list in YAML, is the default.
        """
        if not isinstance(self.value, tuple):
            self.option.check(self.name, value)
            return value
        names = self.value if value is None else value
        if not isinstance(names, Sequence) or isinstance(names, str):
            names = [None]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{self.name} is {value!r}; it must be {self.option.allowed}")
        return tuple(names)

    def check_state(self, state: str) -> None:
        """Raise ValueError where the parameter cannot change in a lifecycle state."""
        if state not in _ALLOWED.get(self.change, (state,)):
            raise ValueError(f"{self.name} cannot change while {state}: {self.change.value}")

    def descriptor(self) -> ParameterDescriptor:
        """Return what `ros2 param describe` shows."""
        descriptor = ParameterDescriptor(
            description=self.option.description,
            additional_constraints=self.option.allowed,
            read_only=self.change is Change.START,
            # An empty list has another type than one of strings.
            dynamic_typing=isinstance(self.value, tuple),
        )
        if self.option.limits is None:
            return descriptor
        low, high = self.option.limits
        if isinstance(self.value, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        return descriptor


def parameter(default: Any, description: str, change: Change | None = None, **kinds: Any) -> Any:
    """Return the field of a parameter; kinds: fields of `Option`; change: None is the group's."""
    return field(
        default=default, metadata={"option": Option(description, **kinds), "change": change}
    )


def choice(
    default: str, description: str, choices: tuple[str, ...], change: Change | None = None
) -> Any:
    """Return the field of a parameter that is one of several strings."""
    allowed = "one of " + ", ".join(repr(c) for c in choices)
    return parameter(default, description, change, pattern="|".join(choices), allowed=allowed)


def group(description: str, change: Change | None = None) -> dict[str, Any]:
    """Return the metadata of a field that holds a dataclass of parameters."""
    return {"group": description, "change": change}


def leaves(parameters: Any, prefix: str = "", change: Change = Change.ANY_TIME) -> Iterator[Leaf]:
    """Yield each parameter of nested dataclasses; fields that describe none are passed over."""
    for entry in fields(parameters):
        name, value = prefix + entry.name, getattr(parameters, entry.name)
        own = entry.metadata.get("change") or change
        if is_dataclass(value):
            yield from leaves(value, f"{name}.", own)
        elif "option" in entry.metadata:
            yield Leaf(name, value, entry.metadata["option"], own)


def declare(node: Node, defaults: P, prefix: str = "") -> P:
    """Declare all parameters on a node and return their values; prefix: of their names.

    Raise ValueError, with the reason, for a bad value in a launch or parameters file.
    """
    values = {
        leaf.name: node.declare_parameter(leaf.name, leaf.value, leaf.descriptor()).value
        for leaf in leaves(defaults, prefix)
    }
    return updated(defaults, values, prefix=prefix)


def updated(current: P, changes: Mapping[str, Any], state: str = "", prefix: str = "") -> P:
    """Return the parameters after a change.

    changes: dotted names to values; names that are not the package's are passed over.
    state: the node's lifecycle state; "" before it has one, where everything can be set.
    prefix: of the names. Raise ValueError, with the reason, for a value that cannot be, or not
    in this state.
    """
    new = {}
    for leaf in leaves(current, prefix):
        if leaf.name not in changes:
            continue
        new[leaf.name] = leaf.checked(changes[leaf.name])
        if state and new[leaf.name] != leaf.value:
            leaf.check_state(state)
    return _replaced(current, new, prefix)


def as_yaml(parameters: Any, depth: int = 0) -> str:
    """Return parameters as the mapping of a YAML file, commented, each line indented."""
    indent = "  " * depth
    lines, said = [], ""
    for entry in fields(parameters):
        value, described = getattr(parameters, entry.name), entry.metadata
        if is_dataclass(value):
            comment = described["group"]
            text = f"{indent}{entry.name}:\n{as_yaml(value, depth + 1)}"
        elif "option" in described:
            comment = described["option"].description
            if described["option"].values:
                comment = f"{comment} Values: {described['option'].values}."
            text = f"{indent}{yaml.safe_dump({entry.name: value})}"
        else:
            continue
        words = f"{comment} {_WORDS[described.get('change')]}".strip()
        # A table, such as the costs, is described once.
        if words != said:
            wrapped = textwrap.wrap(words, _YAML_COLUMNS - len(indent) - 2)
            lines += [f"{indent}# {line}\n" for line in wrapped]
        said = words
        lines.append(text)
    return "".join(lines)


def _replaced(current: Any, changes: Mapping[str, Any], prefix: str = "") -> Any:
    new = {}
    for entry in fields(current):
        name, value = prefix + entry.name, getattr(current, entry.name)
        nested = is_dataclass(value)
        new[entry.name] = (
            _replaced(value, changes, f"{name}.") if nested else changes.get(name, value)
        )
    return replace(current, **new)
