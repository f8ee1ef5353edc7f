"""Table and bird's-eye pictures of the ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.evaluation.console_tables import table
from panoptic_ros.evaluation.drive_conditions import TITLES
from panoptic_ros.evaluation.grid_run import DriveEnd
from panoptic_ros.evaluation.report.page import write_report as write_page
from panoptic_ros.grid.bird_eye import MOTION_COLOR, Mark, draw_cells, draw_marks
from panoptic_ros.grid.observation import OCCUPIED, UNKNOWN
from panoptic_ros.grid.velocity_blocks import velocity_blocks
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.grid_motion import MOVING_SPEED

_COLUMNS = {
    "free_iou": ("free IoU %", 100, 1),
    "contact_error_m": ("contact m", 1, 2),
    "behind_free_rate": ("behind free %", 100, 1),
    "single_iou": ("best single IoU %", 100, 1),
    "fused_iou": ("fused IoU %", 100, 1),
}
_MOTION_COLUMNS = {
    "moving_precision": ("moving precision %", 100, 1),
    "moving_recall": ("recall %", 100, 1),
    "moving_f1": ("F1 %", 100, 1),
    "velocity_error_m_s": ("velocity m/s", 1, 2),
    "predicted_f1": ("in 1 s, F1 %", 100, 1),
    "still_f1": ("held still %", 100, 1),
    "frame_ms": ("ms/frame", 1, 1),
}
_HEADER = ["grid", *(title for title, _, _ in _COLUMNS.values())]
_MOTION_HEADER = ["what moves", *(title for title, _, _ in _MOTION_COLUMNS.values())]
_SCALE = 2
_GAP, _TITLE_HEIGHT = 6, 22


def ground_table(results: Mapping[str, Any]) -> str:
    """Return `compare_ground`'s results as text: a row per condition and kind of labels."""
    tables = table(_HEADER, _rows(results, _COLUMNS))
    moving = table(_MOTION_HEADER, _rows(results, _MOTION_COLUMNS))
    return f"{tables}\n\n{moving}\n{_summary(results)}"


def ground_section(
    results: Mapping[str, Any],
    ends: Mapping[str, Sequence[DriveEnd]],
    labels: LabelSet,
    window: GridWindow,
) -> dict[str, Any]:
    """Return a report's section: the table, and how each drive ended, beside the truth."""
    pictures = [
        {
            "caption": f"{name}, its last frame: camera, truth, one frame and the fused grid; "
            "arrows: what moves, its way in 1 s",
            "image": end_picture({kind: ends[kind][number] for kind in ends}, labels, window),
        }
        for number, name in enumerate(results["drives"])
    ]
    return {
        "title": "Semantic grid",
        "tables": [
            {"caption": _summary(results), "header": header, "rows": _rows(results, columns)}
            for header, columns in ((_HEADER, _COLUMNS), (_MOTION_HEADER, _MOTION_COLUMNS))
        ],
        "pictures": pictures,
    }


def write_report(folder: Path, section: Mapping[str, Any], model: str) -> None:
    """Write grid.html to a folder: the section alone; model: the network's name.

    Raise OSError for a file that cannot be written.
    """
    page = {
        "title": "Semantic grid on drives through the town",
        "model": {"name": model},
        "sections": [section],
    }
    write_page(page, [], folder / "grid.html")


def end_picture(ends: Mapping[str, DriveEnd], labels: LabelSet, window: GridWindow) -> np.ndarray:
    """Return the camera's picture above bird's-eye views beside the truth, uint8 RGB.

    ends: the same drive's end by kind of labels. The truth shows the whole plan, also what the
    camera could not see.
    """
    first = next(iter(ends.values()))
    truth = np.where(first.truth.occupied, 100, 0).astype(np.int8)
    moving = [
        Mark(box.center, box.velocity, "", MOTION_COLOR)
        for box in first.truth.boxes.values()
        if np.hypot(*box.velocity) > MOVING_SPEED
    ]
    views = [_titled(_view(truth, first.truth.classes, labels, window, moving), "truth")]
    for kind, end in ends.items():
        shown = end.placed.observation
        single = np.where(shown.state == OCCUPIED, 100, 0).astype(np.int8)
        single[shown.state == UNKNOWN] = -1
        title = TITLES[kind]
        view = _view(single, shown.classes, labels, window)
        views.append(_titled(view, f"{title}: this frame"))
        layers = end.placed.layers
        blocks = zip(*(v.tolist() for v in velocity_blocks(end.dynamic, window)), strict=True)
        arrows = [Mark((x, y), (vx, vy), "", MOTION_COLOR) for (x, y), (vx, vy) in blocks]
        view = _view(layers.occupancy, layers.classes, labels, window, arrows)
        views.append(_titled(view, f"{title}: fused"))
    gap = np.full((views[0].shape[0], _GAP, 3), 255, np.uint8)
    row = np.hstack([part for view in views for part in (gap, view)][1:])
    height, width = first.image.shape[:2]
    shown_width = min(width, row.shape[1])
    camera = np.full((round(height * shown_width / width), row.shape[1], 3), 255, np.uint8)
    camera[:, :shown_width] = cv2.resize(
        first.image, (shown_width, camera.shape[0]), interpolation=cv2.INTER_AREA
    )
    return np.vstack([camera, row])


def _view(
    occupancy: np.ndarray,
    classes: np.ndarray,
    labels: LabelSet,
    window: GridWindow,
    marks: Sequence[Mark] = (),
) -> np.ndarray:
    picture = draw_cells(occupancy, classes, labels, _SCALE)
    draw_marks(picture, marks, window)
    return picture


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    header = np.full((_TITLE_HEIGHT, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(header, title, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([header, picture])


def _rows(
    results: Mapping[str, Any], columns: Mapping[str, tuple[str, int, int]]
) -> list[list[str]]:
    return [
        [f"{title}, {name}", *_cells(scores[kind], columns)]
        for kind, title in TITLES.items()
        for name, scores in results["robustness"].items()
    ]


def _summary(results: Mapping[str, Any]) -> str:
    return f"{len(results['drives'])} drives, {results['frames']} frames"


def _cells(
    scores: Mapping[str, float | None], columns: Mapping[str, tuple[str, int, int]]
) -> list[str]:
    values = ((scores[key], factor, digits) for key, (_, factor, digits) in columns.items())
    return ["-" if v is None else f"{factor * v:.{digits}f}" for v, factor, digits in values]
