"""Tables for the console, and how a number stands in one."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "-"


def number(value: float | None, decimals: int = 1) -> str:
    """Return a number with so many decimals, a whole one without, "-" for None."""
    if value is None:
        return NOTHING
    return str(value) if isinstance(value, int) else f"{value:.{decimals}f}"


def percent(fraction: float | None) -> str:
    """Return a fraction as a percentage with one decimal, "-" for None."""
    return NOTHING if fraction is None else f"{100 * fraction:.1f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header as text: first column left, the others right aligned."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])])
        for first, *others in lines
    )
