"""The comparison of systems as tables and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panoptic_ros.evaluation.console_tables import NOTHING, number, percent
from panoptic_ros.evaluation.report.page import write_report
from panoptic_ros.evaluation.report.pictures import label_colors
from panoptic_ros.evaluation.report.published import PUBLISHED, PublishedSystem
from panoptic_ros.evaluation.report.tables import ReportTable
from panoptic_ros.evaluation.systems import ShownFrame
from panoptic_ros.labels import LabelSet

_PUBLISHED = "published, Cityscapes"
_NOTE = (
    "The published figures are those of the papers' own networks on real frames, not of these "
    "on this data."
)


def system_tables(results: Mapping[str, Any]) -> list[ReportTable]:
    """Return Tables 2 and 3 of a comparison, and what the papers publish; content: systems.json."""
    return [_quality_table(results), _cost_table(results), _published_table(results["systems"])]


def write_page(
    results: Mapping[str, Any], frames: Sequence[ShownFrame], labels: LabelSet, path: Path
) -> None:
    """Write the comparison as one HTML file: tables, PQ against time, pictures side by side.

    Raise OSError where the file cannot be written.
    """
    skipped = "; ".join(f"{name}: {reason}" for name, reason in results["skipped"].items())
    content = {
        "title": f"Systems on {results['dataset']['name']}",
        "dataset": results["dataset"],
        "model": results["machine"],
        "tables": system_tables(results),
        "scatter": [
            (name, entry["milliseconds"]["p50"], entry["panoptic"]["all"]["pq"])
            for name, entry in results["systems"].items()
        ],
        "sections": [
            {
                "title": "The same frames",
                "text": f"Left out: {skipped}." if skipped else "",
                "rows": [(frame.name, _pictures(frame, labels)) for frame in frames],
            }
        ],
    }
    write_report(content, [], path)


def _pictures(frame: ShownFrame, labels: LabelSet) -> dict[str, Any]:
    shown = {"truth": frame.truth, **frame.labels}
    return {"camera": frame.image, **{n: label_colors(v, labels) for n, v in shown.items()}}


def _quality_table(results: Mapping[str, Any]) -> ReportTable:
    rows = []
    for name, entry in results["systems"].items():
        parts = entry["panoptic"]
        quality = [parts["all"][key] for key in ("pq", "sq", "rq")]
        groups = [parts[group]["pq"] for group in ("things", "stuff")]
        others = [entry[key] for key in ("miou", "ap", "ap_cityscapes")]
        published = PUBLISHED.get(name)
        figure = number(published.pq) if published else NOTHING
        rows.append((name, *map(percent, (*quality, *groups, *others)), figure))
    header = (
        *("system", "PQ %", "SQ %", "RQ %", "PQ things", "PQ stuff", "mIoU %"),
        *("AP COCO", "AP Cityscapes", f"PQ {_PUBLISHED}"),
    )
    note = f"mIoU of the semantic prediction, AP of the detections, before the merge. {_NOTE}"
    return ReportTable(
        f"Table 2. Quality on {results['dataset']['frames']} frames", header, tuple(rows), note
    )


def _cost_table(results: Mapping[str, Any]) -> ReportTable:
    rows = []
    for name, entry in results["systems"].items():
        millions = entry["parameters"] and entry["parameters"] / 1e6
        times = [number(entry["milliseconds"][key]) for key in ("p50", "p95")]
        published = PUBLISHED.get(name)
        figure = number(published.milliseconds, 0) if published else NOTHING
        costs = (number(millions), number(entry["gflops"]), entry["engine"])
        rows.append((name, *costs, *times, figure))
    header = ("system", "parameters, M", "GFLOPs", "engine", "ms p50", "ms p95", f"ms {_PUBLISHED}")
    machine = results["machine"]
    note = (
        f"End to end, {results['timed_frames']} frames, on each of which the systems take turns; "
        f"{machine['device']}, {machine['threads']} threads. A multiplication and an addition are "
        "two operations."
    )
    return ReportTable("Table 3. Cost of a frame", header, tuple(rows), note)


def _published_table(systems: Mapping[str, Any]) -> ReportTable:
    known = {name: row for name, row in PUBLISHED.items() if name in systems}
    rows = tuple((name, *_published_row(row)) for name, row in known.items())
    header = ("system", "backbone", "PQ", "SQ", "RQ", "things", "stuff", "mIoU", "AP", "ms")
    return ReportTable(
        "Published, Cityscapes val",
        (*header, "source"),
        rows,
        f"{NOTHING}: not in the source. OANet publishes COCO's only.",
    )


def _published_row(row: PublishedSystem) -> list[str]:
    quality = (row.pq, row.sq, row.rq, row.things, row.stuff, row.miou, row.ap)
    return [row.backbone, *map(number, quality), number(row.milliseconds, 0), row.source]
