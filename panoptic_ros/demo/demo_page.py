"""The demo's results for people: a page and a table in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from panoptic_ros.demo.record import Record
from panoptic_ros.evaluation.report.template import template


def render(summary: dict[str, Any], record: Record, pictures: str, film: str | None) -> str:
    """Return the page as HTML that needs nothing from the network.

    pictures, film: folder and file that the page refers to, as seen from it.
    """
    return template(Path(__file__).parent / "page.html.j2").render(
        summary=summary,
        classes=record.classes,
        shown={p: [f for f in record.frames if f.picture == p] for p in record.pictures},
        pictures=pictures,
        film=film,
    )


def table(summary: dict[str, Any]) -> str:
    """Return a summary as lines for the terminal."""
    about = (
        f"{summary['input']} ({summary['image_size']}), weights {summary['weights']}, "
        f"fusion {summary['fusion']}, device {summary['device']}, {summary['duration_s']:.0f} s"
    )
    counts = ("published", "lost", "in", "out", "dropped", "refused", "received")
    rows = [(f"frames {key}", str(summary[f"frames_{key}"]), "") for key in counts]
    rows.append(("grids", str(summary["grids"]), ""))
    for camera, stages in summary["latency_ms"].items():
        rows.append((f"{camera}, ms", "p50", "p95"))
        rows += [
            (f"  {stage}", f"{ms['p50']:.1f}", f"{ms['p95']:.1f}") for stage, ms in stages.items()
        ]
    rows.append(("segments", "", ""))
    rows += [(f"  {name}", str(n), "") for name, n in summary["segments_per_class"].items()]
    return "\n".join([about, *(f"{a:<18}{b:>8}{c:>10}".rstrip() for a, b, c in rows)])
