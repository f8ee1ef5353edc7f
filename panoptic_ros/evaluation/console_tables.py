"""Tables for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SCORES = ("pq", "sq", "rq")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header as text: first column left, the others right aligned."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    aligned = [c.rjust(width) for c, width in zip(others, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *aligned])


def quality_table(results: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """Return what `PanopticQuality.results` gives as text, per class and per group.

    names: class id -> name.
    """
    classes = [
        [names[class_id], *_percentages(entry), *(str(entry[key]) for key in ("tp", "fp", "fn"))]
        for class_id, entry in results["per_class"].items()
    ]
    groups = [
        [name, *_percentages(results[name]), str(results[name]["n"])]
        for name in ("all", "things", "stuff")
    ]
    return "\n\n".join(
        [
            table(["class", "PQ %", "SQ %", "RQ %", "TP", "FP", "FN"], classes),
            table(["", "PQ %", "SQ %", "RQ %", "classes"], groups),
        ]
    )


def _percentages(entry: Mapping[str, float | None]) -> list[str]:
    scores = [entry[key] for key in _SCORES]
    return ["-" if score is None else f"{100 * score:.1f}" for score in scores]
