"""The report of an evaluation as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

from markupsafe import Markup

from panoptic_ros.evaluation.console_tables import percent
from panoptic_ros.evaluation.report import figures, frame_views, pictures, tables
from panoptic_ros.evaluation.report.pictures import ReportFrame
from panoptic_ros.evaluation.report.tables import TABLES
from panoptic_ros.evaluation.report.template import template
from panoptic_ros.labels import LabelClass, LabelSet
from panoptic_ros.whole_files import write_file


def write_report(results: Mapping[str, Any], frames: Iterable[ReportFrame], path: Path) -> None:
    """Write report.html: tables, charts and pictures, all inside the one file.

    results: content of results.json, of which each part may be missing, and more keys, such as
    "title" and "sections" (docs/report.md); frames: the best and worst frames to show; path:
    the file, whose folder is made. Raise ValueError for a section's picture
    that is none, OSError where a file cannot be read or written.
    """
    write_file(path, render(results, frames))


def render(results: Mapping[str, Any], frames: Iterable[ReportFrame]) -> str:
    """Return the report as HTML; see `write_report`."""
    script = frame_views.SCRIPT if results.get("frames") else ""
    return template(Path(__file__).parent / "report.html.j2").render(
        title=_title(results),
        script=Markup(script),
        script_hash=frame_views.script_hash(script),
        summary=frame_views.summary(results),
        links=results.get("links") or {},
        legend=[(c["name"], c["color"]) for c in results.get("classes") or []],
        gallery=frame_views.gallery(results),
        frame_table=frame_views.frame_table(results),
        worst_segments=frame_views.worst_segments(results),
        worst_by_class=frame_views.worst_by_class(results),
        facts=_facts(results),
        broken=_dataset(results).get("broken") or [],
        warnings=_dataset(results).get("warnings") or [],
        tables=[*(results.get("tables") or []), *filter(None, (t(results) for t in TABLES))],
        charts=_charts(results),
        strategies=[_strategy(n, f, results) for n, f in _fusions(results)],
        frames=_frames(results, frames),
        colors={
            "wrong class": pictures.WRONG_CLASS,
            "right class, but the segment has no match": pictures.WRONG_SEGMENT,
            "not scored (void)": pictures.NOT_SCORED,
        },
        sections=[_section(s) for s in results.get("sections") or []],
    )


def _dataset(results: Mapping[str, Any]) -> Mapping[str, Any]:
    return results.get("dataset") or {}


def _fusions(results: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [*(results.get("fusion") or {}).items()]


def _title(results: Mapping[str, Any]) -> str:
    if results.get("title"):
        return results["title"]
    dataset, model = _dataset(results), results.get("model") or {}
    names = [part["name"] for part in (model, dataset) if part.get("name")]
    return "Evaluation: " + " on ".join(names) if names else "Evaluation"


def _facts(results: Mapping[str, Any]) -> dict[str, str]:
    """Return what the page says of data and model, in the order of the results."""
    facts = {}
    parts = ("data", _dataset(results)), ("model", results.get("model") or {})
    for title, part in (*parts, ("run", results.get("run") or {})):
        for key, value in part.items():
            if (
                key in ("broken", "missing", "warnings")
                or value in (None, "", [], {})
                or isinstance(value, Mapping)
            ):
                continue
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            facts[f"{title}: {key.replace('_', ' ')}"] = text
    return facts


def _charts(results: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Return the page's charts: a caption and an SVG element each."""
    charts = []
    fusions = {n: f for n, f in _fusions(results) if _is_scored(f)}
    if fusions:
        all_series = {
            n: _class_quality(f["panoptic"], results["classes"]) for n, f in fusions.items()
        }
        occurs = [
            any(v is not None for v in values) for values in zip(*all_series.values(), strict=True)
        ]
        names = [c["name"] for c in compress(results["classes"], occurs)]
        series = {n: list(compress(values, occurs)) for n, values in all_series.items()}
        charts.append(("Panoptic quality per class", figures.class_bars(names, series)))
    totals = _totals(results)
    if totals:
        charts.append(("Latency", figures.latency_histogram(totals)))
    if results.get("scatter"):
        chart = figures.quality_against_time(results["scatter"])
        charts.append(("Quality against time", chart))
    reliability = _reliability(results)
    if reliability:
        charts.append(("Calibration", figures.reliability(reliability)))
    if results.get("timeline"):
        charts.append(("Timeline", figures.timeline(results["timeline"])))
    return [(caption, Markup(svg)) for caption, svg in charts]


def _reliability(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the calibrations of pixels and of each strategy's things that have any count."""
    semantic = (results.get("semantic") or {}).get("calibration")
    found = {"pixels": semantic} if semantic else {}
    for name, fusion in _fusions(results):
        if fusion.get("calibration"):
            found[f"things of {name}"] = fusion["calibration"]
    return {name: c for name, c in found.items() if c["ece"] is not None}


def _class_quality(panoptic: Mapping[str, Any], classes: Sequence[Any]) -> list[float | None]:
    entries = [panoptic["per_class"][str(c["id"])] for c in classes]
    return [e["pq"] if any(e[key] for key in ("tp", "fp", "fn")) else None for e in entries]


def _totals(results: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return each strategy's milliseconds end to end, one per frame that has them."""
    totals: dict[str, list[float]] = {}
    for frame in results.get("frames") or []:
        for name, value in (frame.get("total") or {}).items():
            if value is not None:
                totals.setdefault(name, []).append(value)
    return totals


def _strategy(name: str, fusion: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of one strategy by itself."""
    classes = results["classes"]
    if not _is_scored(fusion):
        return {"name": name, "tables": [], "confusion": ""}
    counts = (fusion.get("semantic") or {}).get("confusion")
    chart = figures.confusion(counts, [c["name"] for c in classes]) if counts else ""
    shown = [tables.group_table(fusion["panoptic"]), tables.class_table(fusion, classes)]
    return {"name": name, "tables": shown, "confusion": Markup(chart)}


def _is_scored(fusion: Mapping[str, Any]) -> bool:
    """Tell whether there was any truth to score a strategy with."""
    return bool(fusion.get("panoptic") and fusion["panoptic"]["all"]["n"])


def _frames(results: Mapping[str, Any], frames: Iterable[ReportFrame]) -> list[dict[str, Any]]:
    frames = list(frames)
    if not frames:
        return []
    labels = _labels(results)
    return [
        {
            "title": f"{frame.rank}: {frame.name}",
            "about": f"{frame.fusion}, PQ {percent(frame.pq)} %",
            "pictures": pictures.frame_pictures(frame, labels),
        }
        for frame in frames
    ]


def _labels(results: Mapping[str, Any]) -> LabelSet:
    return LabelSet(
        results.get("label_set") or "",
        tuple(
            LabelClass(c["id"], c["name"], c["is_thing"], tuple(c["color"]))
            for c in results["classes"]
        ),
    )


def _section(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": content["title"],
        "text": content.get("text") or "",
        "tables": [tables.section_table(t) for t in content.get("tables") or []],
        "pictures": [
            (p["caption"], pictures.section_picture(p["image"]))
            for p in content.get("pictures") or []
        ],
        "rows": [
            {"title": title, "pictures": {n: pictures.tile(p) for n, p in row.items()}}
            for title, row in content.get("rows") or []
        ],
    }
