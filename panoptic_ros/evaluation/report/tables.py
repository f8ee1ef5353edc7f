"""The tables of an evaluation, in the form of those in Inria report RT-0506."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from panoptic_ros.evaluation.console_tables import NOTHING, number, percent, table
from panoptic_ros.evaluation.report.published import COLUMNS, SOURCE, TABLE_1
from panoptic_ros.scores.quality_variants import DISTANCES

_STATISTICS = ("mean", "p50", "p95", "min", "max")
# Two metrics of one name: both are given, and neither stands alone.
_AP = ("AP COCO", "AP50 COCO", "AP Cityscapes")
_GROUPS = ("all", "things", "stuff")
# Column of `further_table` -> where its figure is below a strategy's entry.
_FURTHER: dict[str, tuple[str, ...]] = {
    "PQ\u2020": ("pq_dagger", "all"),
    "boundary PQ": ("boundary", "all", "pq"),
    "PQ small": ("by_size", "small", "all", "pq"),
    "PQ medium": ("by_size", "medium", "all", "pq"),
    "PQ large": ("by_size", "large", "all", "pq"),
    **{f"PQ {name}": ("by_distance", name, "pq") for name in DISTANCES},
    "iIoU": ("semantic", "iiou"),
    "category IoU": ("semantic", "categories", "iou"),
    "category iIoU": ("semantic", "categories", "iiou"),
    "AP75": ("ap", "ap75"),
    "AP small": ("ap", "ap_small"),
    "AP medium": ("ap", "ap_medium"),
    "AP large": ("ap", "ap_large"),
    "AR": ("ap", "ar"),
}

# Of `track_results`, whose keys are these names in small letters.
_TRACKS = (
    *("HOTA", "DetA", "AssA", "LocA", "sMOTSA", "MOTSA", "MOTSP", "IDF1"),
    *("switches", "objects"),
)


@dataclass(frozen=True)
class ReportTable:
    """Hold a table as text: caption, column names, rows of as many cells, and a note.

    links: addresses of pages, by the first cell of their row.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return the table for the console."""
        lines = [self.caption, table(self.header, self.rows), self.note]
        return "\n".join(line for line in lines if line)


def print_tables(results: Mapping[str, Any]) -> None:
    """Print the tables of an evaluation, as far as it has what they show.

    results: content of results.json, see docs/report.md.
    """
    found = (make(results) for make in TABLES)
    print("\n\n".join(t.to_text() for t in found if t))


def instance_table(results: Mapping[str, Any]) -> ReportTable | None:
    """Return Table 1: mean mask IoU of the detected instances per thing class.

    The published columns stand beside the strategy that they are of.
    """
    scores = {
        name: fusion["instance_iou"]
        for name, fusion in (results.get("fusion") or {}).items()
        if fusion.get("instance_iou")
    }
    if not scores:
        return None
    things = [c for c in results["classes"] if c["is_thing"]]
    columns = [c for name, score in scores.items() for c in _instance_columns(name, score, things)]
    counts = [next(iter(scores.values()))["classes"][str(c["id"])]["instances"] for c in things]
    first = ["class", *(c["name"] for c in things), "mean of classes"]
    header, *rows = zip(
        first, ["instances", *map(str, [*counts, sum(counts)])], *columns, strict=True
    )
    note = (
        f"Published: {SOURCE}, Table 1, measured there with its own networks. "
        "Its counts of instances and its other classes are not at hand."
    )
    return ReportTable(
        "Table 1. Mean mask IoU of the detected instances", header, tuple(rows), note
    )


def comparison_table(results: Mapping[str, Any]) -> ReportTable | None:
    """Return Table 2: a row of quality per strategy, and one for each network by itself."""
    rows = [_fusion_row(name, f) for name, f in _methods(results).items()]
    if not rows:
        return None
    header = ("method", "PQ %", "SQ %", "RQ %", "PQ things", "PQ stuff", "mIoU %", *_AP)
    return ReportTable("Table 2. Panoptic, semantic and instance quality", header, tuple(rows))


def video_table(results: Mapping[str, Any]) -> ReportTable | None:
    """Return VPQ, by windows, and STQ of a drive whose things have the numbers of their tracks."""
    return videos_table({"tracks": results["video"]}) if results.get("video") else None


def videos_table(videos: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    """Return `VideoQuality.results` of one or more, a row each."""
    rows = {}
    for name, video in videos.items():
        vpq, stq = video["vpq"], video["stq"]
        windows = {f"VPQ, window {k}": w["all"]["pq"] for k, w in vpq["windows"].items()}
        whole = {"STQ": stq["stq"], "AQ": stq["aq"], "mIoU": stq["iou"]}
        rows[name] = {"VPQ": vpq["vpq"], **windows, **whole}
    header = ("method", *next(iter(rows.values())))
    cells = tuple((name, *map(percent, values.values())) for name, values in rows.items())
    return ReportTable("As a video, %", header, cells)


def identity_table(results: Mapping[str, Any]) -> ReportTable | None:
    """Return how tracks keep identities, see `tracks_table`, as far as that is known."""
    return tracks_table(results["tracks"]) if results.get("tracks") else None


def tracks_table(tracks: Mapping[str, Any]) -> ReportTable:
    """Return HOTA's family and MOTS metrics, a row per class.

    tracks: `TrackScore.results`, or `classes` of `track_results` alone.
    """
    rows = {"all things": tracks} if "hota" in tracks else {}
    rows |= tracks["classes"]
    cells = tuple(
        (name, *(number(score[title.lower()]) for title in _TRACKS)) for name, score in rows.items()
    )
    return ReportTable("Tracks, %", ("tracks", *_TRACKS), cells)


def time_table(results: Mapping[str, Any]) -> ReportTable | None:
    """Return Table 3: milliseconds per stage and end to end, and peak memory in the note."""
    timing = results.get("timing") or {}
    stages = [*(timing.get("stages") or {}).items()]
    totals = [(f"end to end, {n}", s) for n, s in (timing.get("end_to_end") or {}).items()]
    rows = [
        (name, *(milliseconds(values[key]) for key in _STATISTICS))
        for name, values in (*stages, *totals)
        if values
    ]
    if not rows:
        return None
    memory = ", ".join(
        f"{place} {number(mib, 0)} MiB"
        for place, mib in (timing.get("peak_memory_mib") or {}).items()
        if mib is not None
    )
    note = (
        f"{timing['frames']} frames after {timing['warmup_frames']} of warm-up on "
        f"{results['model']['device']}. Peak memory: {memory or 'not known'}."
    )
    header = ("stage, ms", *_STATISTICS)
    return ReportTable("Table 3. Time per stage", header, tuple(rows), note)


def further_table(results: Mapping[str, Any]) -> ReportTable | None:
    """Return the metrics beside those of Table 2, a row per strategy; what no row has is left out.

    docs/evaluation.md says what each of them is.
    """
    rows = {name: [_at(f, p) for p in _FURTHER.values()] for name, f in _methods(results).items()}
    rows = {name: values for name, values in rows.items() if any(v is not None for v in values)}
    columns = [i for i in range(len(_FURTHER)) if any(v[i] is not None for v in rows.values())]
    if not columns:
        return None
    header = ("method", *(list(_FURTHER)[i] for i in columns))
    cells = tuple((name, *(percent(v[i]) for i in columns)) for name, v in rows.items())
    return ReportTable("Further metrics, %", header, cells)


def group_table(panoptic: Mapping[str, Any]) -> ReportTable:
    """Return PQ, SQ and RQ of all, things and stuff for one strategy's `panoptic` entry."""
    rows = tuple((name, *_scores(panoptic[name]), str(panoptic[name]["n"])) for name in _GROUPS)
    return ReportTable("Groups of classes", ("", "PQ %", "SQ %", "RQ %", "classes"), rows)


def class_table(fusion: Mapping[str, Any], classes: Sequence[Mapping[str, Any]]) -> ReportTable:
    """Return one strategy's quality per class; a class that occurs nowhere has no figures.

    fusion: an entry of results["fusion"]; classes: results["classes"].
    """
    iou = (fusion.get("semantic") or {}).get("iou") or {}
    rows = []
    for c in classes:
        entry = fusion["panoptic"]["per_class"][str(c["id"])]
        counts = [entry[key] for key in ("tp", "fp", "fn")]
        quality = _scores(entry) if any(counts) else [NOTHING] * 3
        rows.append((c["name"], *quality, percent(iou.get(str(c["id"]))), *map(str, counts)))
    header = ("class", "PQ %", "SQ %", "RQ %", "IoU %", "TP", "FP", "FN")
    return ReportTable("Per class", header, tuple(rows))


def quality_table(results: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """Return what `PanopticQuality.results` gives as text, per class and per group.

    names: class id -> name.
    """
    header = ("class", "PQ %", "SQ %", "RQ %", "TP", "FP", "FN")
    classes = [
        (names[class_id], *_scores(entry), *(str(entry[key]) for key in ("tp", "fp", "fn")))
        for class_id, entry in results["per_class"].items()
    ]
    groups = group_table(results)
    return f"{table(header, classes)}\n\n{table(groups.header, groups.rows)}"


def section_table(content: Mapping[str, Any]) -> ReportTable:
    """Return a table that a caller brings: {"caption", "header", "rows"} of text and numbers."""
    rows = tuple(tuple(map(_cell, row)) for row in content["rows"])
    return ReportTable(content["caption"], tuple(content["header"]), rows)


def spread(interval: Sequence[float] | None) -> str:
    """Return an interval of fractions as it stands behind their percentage, "" for None."""
    return f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""


def milliseconds(value: float | None) -> str:
    """Return a time with three digits that mean something, "-" for None."""
    if value is None:
        return NOTHING
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _instance_columns(
    name: str, score: Mapping[str, Any], things: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """Return a strategy's column of Table 1, and the published one of the same method."""
    by_class = [percent(score["classes"][str(c["id"])]["iou"]) for c in things]
    columns = [[f"{name} IoU %", *by_class, percent(score["mean"])]]
    if name in COLUMNS:
        published = [_published(c["name"], COLUMNS[name]) for c in things]
        columns.append([f"{COLUMNS[name]}, published", *published, NOTHING])
    return columns


def _methods(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the strategies' entries, and each network's own as if it were a strategy."""
    alone = {
        "semantic network alone": {"semantic": results.get("semantic")},
        "instance network alone": {"ap": results.get("detector")},
    }
    known = {name: entry for name, entry in alone.items() if any(entry.values())}
    return {**(results.get("fusion") or {}), **known}


def _fusion_row(name: str, fusion: Mapping[str, Any]) -> tuple[str, ...]:
    panoptic, semantic, masks = (fusion.get(key) for key in ("panoptic", "semantic", "ap"))
    quality = [NOTHING] * 5
    if panoptic and panoptic["all"]["n"]:
        groups = [panoptic[group] for group in ("things", "stuff")]
        parts = [percent(g["pq"]) if g["n"] else NOTHING for g in groups]
        quality = [*_scores(panoptic["all"]), *parts]
    intervals = fusion.get("intervals") or {}
    return (name, *quality, percent(semantic and semantic["miou"]), *_ap(masks, intervals))


def _scores(entry: Mapping[str, float]) -> list[str]:
    return [percent(entry[key]) for key in ("pq", "sq", "rq")]


def _ap(masks: Mapping[str, Any] | None, intervals: Mapping[str, Any]) -> list[str]:
    """Return the cells of _AP with their intervals, as far as they are known."""
    if not masks:
        return [NOTHING] * len(_AP)
    paths = (("ap",), ("ap50",), ("cityscapes", "ap"))
    return [percent(_at(masks, path)) + spread(_at(intervals, path)) for path in paths]


def _at(content: Any, path: Sequence[str]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content


def _published(class_name: str, column: str) -> str:
    """Return a published figure with the three digits that it was published with."""
    figure = TABLE_1[column].get(class_name)
    return NOTHING if figure is None else f"{figure:#.3g}"


_FORMATS: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _: NOTHING,
    bool: lambda value: "yes" if value else "no",
    float: lambda value: f"{value:.3f}",
}


def _cell(value: Any) -> str:
    return _FORMATS.get(type(value), str)(value)


TABLES: tuple[Callable[[Mapping[str, Any]], ReportTable | None], ...] = (
    instance_table,
    comparison_table,
    further_table,
    video_table,
    identity_table,
    time_table,
)
