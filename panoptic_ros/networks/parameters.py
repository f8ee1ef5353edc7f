"""What a network's parameters can be, by the annotations of what takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def check_parameters(network: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
    """Raise ValueError that names a parameter, of those written as int or float, that cannot be.

    Whole numbers, and those of lists, are sizes and counts, 1 or more; torch makes layers of any
    that fail when they are used. Of class_ids, 0 is a class without a label. Parameters that the
    network does not have are passed over.
    """
    known = inspect.signature(network).parameters
    for name, value in parameters.items():
        kind = str(known[name].annotation) if name in known else ""
        is_list = kind.startswith(("Sequence[int]", "list[int]"))
        if kind == "int" and not _is_count(value):
            wanted = "a whole number, 1 or more"
        elif kind == "float" and not _is_share(value):
            wanted = "a number in 0..1"
        elif is_list and value is not None and not _are_counts(value, name != "class_ids"):
            wanted = f"a list of whole numbers, each {int(name != 'class_ids')} or more"
        else:
            continue
        raise ValueError(f"{name} is {str(value)[:60]!r}; it must be {wanted}")


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _are_counts(value: Any, least: int) -> bool:
    is_list = isinstance(value, list | tuple) and len(value) > 0
    return is_list and all(_is_count(number, least) for number in value)
