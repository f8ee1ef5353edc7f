"""How tracks keep identities, as a table and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panoptic_ros.evaluation.console_tables import number, table
from panoptic_ros.evaluation.drive_conditions import TITLES, TRUE_LABELS
from panoptic_ros.evaluation.report.page import write_report as write_page
from panoptic_ros.evaluation.report.tables import ReportTable, videos_table
from panoptic_ros.evaluation.track_pictures import contact_sheet, path_map, timeline
from panoptic_ros.evaluation.track_run import TrackedFrame
from panoptic_ros.labels import LabelSet

_COLUMNS = {
    "hota": "HOTA %",
    "deta": "DetA %",
    "assa": "AssA %",
    "idf1": "IDF1 %",
    "switches": "switches",
}
_HEADER = ["tracks", *_COLUMNS.values()]
_BOX_COLUMNS = {
    "objects": "objects",
    "boxes": "boxes",
    "centre_error": "centre m",
    "yaw_error": "yaw deg",
    "bev_iou": "BEV IoU %",
    "iou": "3-D IoU %",
}
_BOX_HEADER = ["boxes", *_BOX_COLUMNS.values()]


def track_table(results: Mapping[str, Any]) -> str:
    """Return `compare_tracks`' results as text: a row per condition and kind of labels."""
    tables = [table(_HEADER, _rows(results)), _summary(results)]
    if boxes := _box_rows(results):
        tables += ["", table(_BOX_HEADER, boxes)]
    return "\n".join([*tables, "", _videos(results).to_text()])


def track_section(
    results: Mapping[str, Any], tracked: Mapping[str, Sequence[TrackedFrame]], labels: LabelSet
) -> dict[str, Any]:
    """Return a report's section: the table and one drive's pictures, by kind of labels."""
    videos = _videos(results)
    pictures = [
        {"caption": f"{TITLES[kind]}: {caption}", "image": draw(frames, labels)}
        for kind, frames in tracked.items()
        for caption, draw in (
            ("tracks with their ids and speeds; thin boxes coast", contact_sheet),
            ("true objects over time, coloured by track; black ticks are switches", timeline),
            ("the tracks' ways in odom, the ego car's in black", path_map),
        )
    ]
    tables = [{"caption": _summary(results), "header": _HEADER, "rows": _rows(results)}]
    if boxes := _box_rows(results):
        caption = "Boxes in space: median errors, mean IoU"
        tables.append({"caption": caption, "header": _BOX_HEADER, "rows": boxes})
    tables.append({"caption": videos.caption, "header": videos.header, "rows": videos.rows})
    return {"title": "Tracks", "tables": tables, "pictures": pictures}


def write_report(
    folder: Path,
    results: Mapping[str, Any],
    tracked: Mapping[str, Sequence[TrackedFrame]],
    labels: LabelSet,
    model: str,
) -> None:
    """Write tracks.html to a folder: the table and pictures of one drive.

    tracked: the drive by kind of labels; model: the network's name. Raise OSError for a file
    that cannot be written.
    """
    page = {
        "title": "Tracks on drives through the town",
        "dataset": {"drives": results["drives"], "frames": results["frames"]},
        "model": {"name": model},
        "sections": [track_section(results, tracked, labels)],
    }
    write_page(page, [], folder / "tracks.html")


def _rows(results: Mapping[str, Any]) -> list[list[str]]:
    return [
        [f"{title}, {name}", *(number(scores[kind][key]) for key in _COLUMNS)]
        for kind, title in TITLES.items()
        for name, scores in results["robustness"].items()
    ]


def _box_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """Return a row for each kind of labels, measurement and range that has objects."""
    return [
        [f"{title}, {name}, {distance}", *(number(score[key], 2) for key in _BOX_COLUMNS)]
        for kind, title in TITLES.items()
        for name, scores in results["boxes"].items()
        for distance, score in scores[kind].items()
        if score["objects"]
    ]


def _videos(results: Mapping[str, Any]) -> ReportTable:
    return videos_table({TITLES[kind]: found for kind, found in results["video"].items()})


def _summary(results: Mapping[str, Any]) -> str:
    counts = results[TRUE_LABELS]
    return (
        f"{len(results['drives'])} drives, {results['frames']} frames, "
        f"{counts['objects']} objects, {counts['sightings']} sightings"
    )
