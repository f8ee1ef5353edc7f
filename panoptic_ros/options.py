"""Options of a part: fields of a dataclass that hold their description, range and default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Option:
    """Describe an option.

    limits: smallest and largest value of a number; special: a value below 0 with a meaning of
    its own, the others begin at 0; pattern: what a string must match; allowed says it in words.
    """

    description: str
    limits: tuple[float, float] | None = None
    special: float | None = None
    pattern: str | None = None
    allowed: str = ""

    @property
    def values(self) -> str:
        """What the value can be, in words; "" where its type says it."""
        if self.allowed or self.limits is None:
            return self.allowed
        return "..".join(f"{x:g}" if isinstance(x, float) else str(x) for x in self.limits)

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError, with the reason, for a value that cannot be."""
        bad = (
            (self.pattern is not None and not re.fullmatch(self.pattern, value))
            or (self.limits is not None and not self.limits[0] <= value <= self.limits[1])
            or (self.special is not None and self.special < value < 0)
        )
        if bad:
            raise ValueError(
                f"{name} is {value!r}; it must be {self.allowed or f'in {self.values}'}"
            )


def option(default: Any, description: str, **kinds: Any) -> Any:
    """Return the field of an option; kinds: fields of `Option`."""
    return field(default=default, metadata={"option": Option(description, **kinds)})


def number(default: float, low: float, high: float, description: str) -> Any:
    """Return the field of a number, both limits included."""
    return option(default, description, limits=(low, high))


def options_of(kind: type) -> Iterator[tuple[str, Option]]:
    """Yield name and description of each option of a dataclass."""
    for entry in fields(kind):
        if "option" in entry.metadata:
            yield entry.name, entry.metadata["option"]


def check_options(options: Any) -> None:
    """Raise ValueError that names the field for an option out of its range."""
    for name, described in options_of(type(options)):
        described.check(name, getattr(options, name))
