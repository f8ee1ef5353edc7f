"""Put tensors into a module, each of them accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

# An error names this many tensors of a kind, then counts.
NAMED = 5


class HasShape(Protocol):
    """A tensor, or what a file declares of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of elements along each dimension."""


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Copy tensors into a module's parameters and buffers, in the module's own dtype.

    source: where they come from, for the error. Raise ValueError as `check_fit` does, and for
    whole numbers, truth values or complex numbers in place of real ones, which torch would
    convert in silence; the module is then unchanged.
    """
    own = module.state_dict()
    check_fit(shapes(own), shapes(tensors), source=source)
    wrong = [
        f"{name} {tensors[name].dtype} instead of {tensor.dtype}"
        for name, tensor in own.items()
        if tensor.is_floating_point() and not tensors[name].is_floating_point()
    ]
    if wrong:
        raise ValueError(f"{source} does not fit: {_problem('of another type', wrong)}")
    module.load_state_dict(dict(tensors))


def check_finite(tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Raise ValueError that names the tensors with values that are not finite (NaN, infinity).

    Such a network silently gives one class for every pixel, or nothing.
    """
    bad = [name for name, t in tensors.items() if not _is_finite(name, t, source)]
    if bad:
        raise ValueError(f"{source}: {_listed(bad)} with values that are not finite; train it anew")


def _is_finite(name: str, tensor: Tensor, source: str) -> bool:
    try:
        return bool(torch.isfinite(tensor).all())
    except RuntimeError as error:  # of types that torch can store alone, such as float4
        raise ValueError(f"{source}: {name} is {tensor.dtype}, which cannot be read") from error


def shapes(tensors: Mapping[str, HasShape]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_fit(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], *, source: str
) -> None:
    """Raise ValueError that names every disagreement between the shapes of named tensors.

    They are missing, superfluous or misshapen.
    """
    problems = [
        _problem("missing", [name for name in expected if name not in found]),
        _problem("superfluous", [name for name in found if name not in expected]),
        _problem(
            "misshapen",
            [
                f"{name} {list(found[name])} instead of {list(shape)}"
                for name, shape in expected.items()
                if name in found and found[name] != tuple(shape)
            ],
        ),
    ]
    if any(problems):
        raise ValueError(f"{source} does not fit: " + "; ".join(filter(None, problems)))


def _problem(kind: str, entries: list[str]) -> str:
    return f"{kind} {_listed(entries)}" if entries else ""


def _listed(entries: list[str]) -> str:
    more = f" and {len(entries) - NAMED} more" if len(entries) > NAMED else ""
    return f"tensors ({len(entries)}): {', '.join(entries[:NAMED])}{more}"
