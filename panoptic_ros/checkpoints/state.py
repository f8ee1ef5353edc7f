"""Put tensors into a module, each of them accounted for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

# An error names this many tensors of a kind, then counts.
NAMED = 5


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Copy tensors into a module's parameters and buffers, in the module's own dtype.

    source: where they come from, for the error. Raise ValueError that names every kind of
    disagreement (missing, superfluous, of another shape); the module is then unchanged.
    """
    expected = module.state_dict()
    problems = [
        _problem("missing", [name for name in expected if name not in tensors]),
        _problem("superfluous", [n for n in tensors if n not in expected]),
        _problem(
            "misshapen",
            [
                f"{name} {list(tensors[name].shape)} instead of {list(own.shape)}"
                for name, own in expected.items()
                if name in tensors and tensors[name].shape != own.shape
            ],
        ),
    ]
    if any(problems):
        raise ValueError(f"{source} does not fit: " + "; ".join(filter(None, problems)))
    module.load_state_dict(dict(tensors))


def _problem(kind: str, entries: list[str]) -> str:
    if not entries:
        return ""
    more = f" and {len(entries) - NAMED} more" if len(entries) > NAMED else ""
    return f"{kind} tensors ({len(entries)}): {', '.join(entries[:NAMED])}{more}"
