"""The charts of a report, as SVG text that takes its ink from the page's text colour."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from markupsafe import escape
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from panoptic_ros.evaluation.report.tables import milliseconds as as_time

# Drawn by matplotlib's SVG backend and then replaced: it knows no `currentColor`.
_INK = "#010203"
# After Okabe and Ito's palette, which everyone can tell apart; the blue is lighter than theirs,
# to be seen on black as well as on white.
_COLORS = ("#3d8fd1", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
# Not as many as colours, so that both together tell more apart.
_MARKS = "os^DvPX"
_CELL = 17  # of the confusion matrix, in its own units
_WIDTH = 4.8  # inches; narrow enough that the text can be read on a phone
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
}


def class_bars(classes: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    """Return a chart of a fraction per class, one bar for each series; None leaves a gap."""
    count = max(1, len(series))
    with _figure("bars", 0.9 + len(classes) * (0.13 + 0.1 * count)) as figure:
        axes = figure.add_subplot()
        rows = np.arange(len(classes))
        thickness = 0.8 / count
        for i, (name, values) in enumerate(series.items()):
            offset = (i - (count - 1) / 2) * thickness
            lengths = [100 * (value or 0) for value in values]
            axes.barh(rows + offset, lengths, thickness, label=name, color=_color(i))
        axes.set_yticks(rows, classes)
        axes.set_ylim(len(classes) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("PQ %")
        axes.grid(axis="x", alpha=0.25)
        _legend(axes, count)
        return _svg(figure)


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Return a confusion matrix as a chart, each row as shares of the true class's pixels.

    counts: integer [C][C + 1], rows truth, columns predicted, the last one unlabeled. Each cell
    says its share and its pixels when it is pointed at; cells without a pixel are empty.
    """
    pixels = np.asarray(counts, np.float64)
    total = pixels.sum(axis=1, keepdims=True)
    shares = np.divide(pixels, total, out=np.zeros_like(pixels), where=total > 0)
    columns = [*classes, "unlabeled"]
    left, top = 8 + 5.6 * max(map(len, classes), default=0), 8 + 5.6 * max(map(len, columns))
    width, height = left + _CELL * len(columns) + 8, top + _CELL * len(classes) + 22
    colors = matplotlib.colormaps["cividis"]
    cells = [
        f'<rect class="cell" x="{left + _CELL * x:.1f}" y="{top + _CELL * y:.1f}" '
        f'width="{_CELL - 1}" height="{_CELL - 1}" fill="{to_hex(colors(shares[y, x]))}">'
        f"<title>{escape(classes[y])} as {escape(columns[x])}: {100 * shares[y, x]:.2f} %, "
        f"{int(pixels[y, x]):,} pixels</title></rect>"
        for y, x in zip(*np.nonzero(pixels), strict=True)
    ]
    rows = [
        f'<text x="{left - 5:.1f}" y="{top + _CELL * (i + 0.72):.1f}" text-anchor="end">'
        f"{escape(name)}</text>"
        for i, name in enumerate(classes)
    ]
    names = [
        f'<text transform="translate({left + _CELL * (i + 0.72):.1f} {top - 5:.1f}) rotate(-90)">'
        f"{escape(name)}</text>"
        for i, name in enumerate(columns)
    ]
    note = "rows: truth; dark 0 %, bright 100 %, empty: no pixel"
    text = f'<text x="{left:.1f}" y="{height - 6:.1f}">{note}</text>'
    return (
        f'<svg viewBox="0 0 {width:.1f} {height:.1f}" font-size="10" fill="currentColor">'
        f"{''.join(rows)}{''.join(names)}{''.join(cells)}{text}</svg>"
    )


def reliability(series: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how often what has a score is right, over the score; the line: were they equal.

    series: what `Calibration.results` gives, by name.
    """
    with _figure("reliability", 3.0) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle=":")
        for i, (name, found) in enumerate(series.items()):
            points = [(b["score"], b["right"]) for b in found["bins"] if b["count"]]
            label = f"{name}: ECE {100 * found['ece']:.1f} %"
            axes.plot(*zip(*points, strict=True), ".-", color=_color(i), label=label)
        axes.set(xlabel="score", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
        axes.grid(alpha=0.25)
        _legend(axes, 1)
        return _svg(figure)


def latency_histogram(milliseconds: Mapping[str, Sequence[float]]) -> str:
    """Return how many frames took how long, with p50 and p95, one outline per series."""
    with _figure("latency", 2.8) as figure:
        axes = figure.add_subplot()
        pooled = np.concatenate([np.asarray(v, float) for v in milliseconds.values()])
        edges = np.histogram_bin_edges(pooled, bins=min(30, max(5, len(pooled) // 2)))
        for i, (name, values) in enumerate(milliseconds.items()):
            p50, p95 = np.percentile(values, [50, 95])
            label = f"{name}: p50 {as_time(p50)}, p95 {as_time(p95)} ms"
            axes.hist(values, edges.tolist(), alpha=0.55, color=_color(i), label=label)
            axes.axvline(p50, color=_color(i))
            axes.axvline(p95, color=_color(i), linestyle="--")
        axes.set(xlabel="end to end, ms (solid: p50, dashed: p95)", ylabel="frames")
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        _legend(axes, 1)
        return _svg(figure)


def quality_against_time(points: Sequence[tuple[str, float, float | None]]) -> str:
    """Return each system's quality over its time, with a mark of its own.

    points: name, milliseconds, PQ 0..1; one without a quality is left out.
    """
    known = [(name, ms, 100 * pq) for name, ms, pq in points if pq is not None]
    with _figure("scatter", 3.6) as figure:
        axes = figure.add_subplot()
        for i, (name, ms, pq) in enumerate(known):
            mark = _MARKS[i % len(_MARKS)]
            axes.plot(ms, pq, mark, color=_color(i), markersize=8, linestyle="", label=name)
        axes.set(xlabel="ms per frame, median", ylabel="PQ %")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        _legend(axes, len(known))
        return _svg(figure)


def timeline(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return latency, quality and instances over time, frames that were refused marked.

    entries: results["timeline"]: {"time" s, "milliseconds", "pq", "instances", "refused"}.
    """
    rows = [("milliseconds", "ms", 1.0), ("pq", "PQ %", 100.0), ("instances", "instances", 1.0)]
    rows = [row for row in rows if any(e.get(row[0]) is not None for e in entries)]
    refused = [e["time"] for e in entries if e.get("refused")]
    with _figure("timeline", 0.7 + 1.2 * max(1, len(rows))) as figure:
        panels = figure.subplots(max(1, len(rows)), sharex=True, squeeze=False)[:, 0]
        for i, ((key, label, scale), axes) in enumerate(zip(rows, panels, strict=False)):
            points = [(e["time"], scale * e[key]) for e in entries if e.get(key) is not None]
            axes.plot(*zip(*points, strict=True), ".-", color=_color(i), markersize=3, linewidth=1)
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.25)
        for axes in panels:
            for time in refused:
                axes.axvline(time, color=_COLORS[-1], alpha=0.7)
        panels[-1].set_xlabel("s since the first frame" + (", lines: refused" if refused else ""))
        return _svg(figure)


@contextmanager
def _figure(name: str, height: float) -> Iterator[Figure]:
    # Ids inside the SVG come from the salt: equal for equal reports, distinct in one page.
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        yield Figure(figsize=(_WIDTH, height), layout="constrained")


def _svg(figure: Figure) -> str:
    """Return a figure as an element of an HTML page; its style still has to be in use."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    document = file.getvalue()
    # Without prologue and fixed size.
    svg = document[document.index("<svg") :]
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace(_INK, "currentColor")


def _color(index: int) -> str:
    return _COLORS[index % len(_COLORS)]


def _legend(axes: Any, count: int) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=min(count, 3),
        frameon=False,
        borderaxespad=0.2,
        labelcolor=_INK,
    )
