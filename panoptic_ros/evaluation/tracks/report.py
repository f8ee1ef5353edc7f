"""Table and pictures of how tracks keep identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.evaluation.tables import table
from panoptic_ros.evaluation.tracks.compare import PREDICTED, TRUE_LABELS, TrackedFrame
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.tracking import Track
from panoptic_ros.visualization import instance_color

_TITLES = {TRUE_LABELS: "true labels", PREDICTED: "predicted"}
_COLUMNS = {
    "hota": "HOTA %",
    "deta": "DetA %",
    "assa": "AssA %",
    "idf1": "IDF1 %",
    "switches": "switches",
}
_PICTURES, _PICTURE_COLUMNS, _PICTURE_WIDTH = 8, 2, 768
# Pixels of a timeline per frame and per object.
_CELL = (8, 6)
_SWITCH = (0, 0, 0)


def track_table(results: Mapping[str, Any]) -> str:
    """Return `compare_tracks`' results as text: a row per condition and kind of labels."""
    rows = [
        [f"{_TITLES[kind]}, {name}", *(_number(scores[kind][key]) for key in _COLUMNS)]
        for kind in (TRUE_LABELS, PREDICTED)
        for name, scores in results["conditions"].items()
    ]
    counts = results[TRUE_LABELS]
    return "\n".join(
        [
            table(["tracks", *_COLUMNS.values()], rows),
            f"{len(results['drives'])} drives, {results['frames']} frames, "
            f"{counts['objects']} objects, {counts['sightings']} sightings",
        ]
    )


def write_report(
    folder: Path,
    results: Mapping[str, Any],
    tracked: Mapping[str, Sequence[TrackedFrame]],
    labels: LabelSet,
) -> None:
    """Write the table and pictures of one drive to a folder.

    tracked: the drive by kind of labels. tracks.txt: the table; KIND_frames.jpg: boxes, names
    and speeds in the image; KIND_identities.png: see `timeline`. KIND: true_labels, predicted.
    Raise OSError for a file that cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tracks.txt").write_text(track_table(results) + "\n", encoding="utf-8")
    for kind, frames in tracked.items():
        shown = frames[:: max(1, len(frames) // _PICTURES)][:_PICTURES]
        pictures = [_small(draw_tracks(f.frame.image(), f.tracks, labels)) for f in shown]
        pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % _PICTURE_COLUMNS)
        rows = zip(*[iter(pictures)] * _PICTURE_COLUMNS, strict=True)
        _write(folder / f"{kind}_frames.jpg", np.vstack([np.hstack(row) for row in rows]))
        _write(folder / f"{kind}_identities.png", timeline(frames, labels))


def draw_tracks(image: np.ndarray, tracks: Sequence[Track], labels: LabelSet) -> np.ndarray:
    """Return an image with the tracks' boxes, names and speeds, uint8 [H, W, 3], RGB.

    Coasting tracks have thin boxes.
    """
    canvas = np.ascontiguousarray(image).copy()
    for track in tracks:
        cls = labels[track.class_id]
        color = instance_color(cls, track.track_id)
        x0, y0, x1, y1 = (round(v) for v in track.box)
        cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), color, 1 if track.coasting else 2)
        speed = "" if track.velocity is None else f" {np.hypot(*track.velocity):.0f} m/s"
        text = f"{cls.name} {track.track_id}{speed}"
        cv2.putText(canvas, text, (x0, y0 - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, 1)
    return canvas


def timeline(frames: Sequence[TrackedFrame], labels: LabelSet) -> np.ndarray:
    """Return a picture of identities over time, uint8 [rows, columns, 3], RGB.

    A row per true object, by class and length; a column per frame, in the colour of the track
    that has most of the object's pixels; white where it has none or is not seen. A black tick
    marks where the track changed.
    """
    owners = [_owners(tracked) for tracked in frames]
    seen = [object_id for frame in owners for object_id in frame]
    objects = sorted(set(seen), key=lambda i: (i // INSTANCE_DIVISOR, -seen.count(i)))
    width, height = _CELL
    picture = np.full((max(1, len(objects)) * height, len(frames) * width, 3), 255, np.uint8)
    for row, object_id in enumerate(objects):
        cls = labels[object_id // INSTANCE_DIVISOR]
        last = None
        for column, frame in enumerate(owners):
            track_id = frame.get(object_id)
            if track_id is None:
                continue
            cell = picture[row * height : (row + 1) * height - 1, column * width :][:, :width]
            cell[:] = instance_color(cls, track_id)
            if last not in (None, track_id):
                cell[:, :2] = _SWITCH
            last = track_id
    return picture


def _owners(tracked: TrackedFrame) -> dict[int, int]:
    """Return the track of each true object of a frame, for the objects that have one."""
    truth, labels = tracked.frame.truth, tracked.prediction.labels
    owners: dict[int, int] = {}
    most: dict[int, int] = {}
    for track in tracked.tracks:
        if track.coasting:
            continue
        ids, counts = np.unique(truth[labels == track.instance_id], return_counts=True)
        for object_id, count in zip(ids.tolist(), counts.tolist(), strict=True):
            own_class = object_id // INSTANCE_DIVISOR == track.class_id
            if own_class and count > most.get(object_id, 0):
                owners[object_id], most[object_id] = track.track_id, count
    return owners


def _small(picture: np.ndarray) -> np.ndarray:
    height = round(picture.shape[0] * _PICTURE_WIDTH / picture.shape[1])
    return cv2.resize(picture, (_PICTURE_WIDTH, height), interpolation=cv2.INTER_AREA)


def _write(path: Path, picture: np.ndarray) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} cannot be written")


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
