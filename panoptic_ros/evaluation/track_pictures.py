"""Pictures of how tracks keep identities."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from panoptic_ros.evaluation.track_run import TrackedFrame
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.tracking.track import Track
from panoptic_ros.visualization import instance_color

_SHEET_FRAMES, _SHEET_COLUMNS, _SHEET_WIDTH = 8, 2, 768
# Pixels of a timeline per frame and per object.
_CELL = (8, 6)
_SWITCH = (0, 0, 0)
# Pixels per metre of a map, and metres around what is on it.
_MAP_SCALE, _MAP_MARGIN = 6, 5.0
_EGO = (0, 0, 0)


def contact_sheet(frames: Sequence[TrackedFrame], labels: LabelSet) -> np.ndarray:
    """Return some of a drive's frames with their tracks in one picture, uint8 RGB."""
    shown = frames[:: max(1, len(frames) // _SHEET_FRAMES)][:_SHEET_FRAMES]
    pictures = [_small(draw_tracks(f.frame.image(), f.tracks, labels)) for f in shown]
    pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % _SHEET_COLUMNS)
    rows = zip(*[iter(pictures)] * _SHEET_COLUMNS, strict=True)
    return np.vstack([np.hstack(row) for row in rows])


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


def path_map(frames: Sequence[TrackedFrame], labels: LabelSet) -> np.ndarray:
    """Return the tracks' ways over the ground in `odom`, uint8 RGB: x to the right, y up.

    The ego car's way is black; a ring marks where a track ended.
    """
    paths: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for tracked in frames:
        for track in tracked.tracks:
            if track.position is not None:
                paths.setdefault((track.class_id, track.track_id), []).append(track.position)
    ego = [(f.frame.pose.x, f.frame.pose.y) for f in frames]
    places = np.concatenate([np.array(path) for path in (*paths.values(), ego)])
    low, high = places.min(axis=0) - _MAP_MARGIN, places.max(axis=0) + _MAP_MARGIN
    width, height = np.ceil((high - low) * _MAP_SCALE).astype(int)
    picture = np.full((height, width, 3), 255, np.uint8)

    def pixels(path: Sequence[tuple[float, float]]) -> np.ndarray:
        x, y = ((np.array(path) - low) * _MAP_SCALE).T
        return np.stack([x, height - 1 - y], axis=1).round().astype(np.int32)

    for (class_id, track_id), path in paths.items():
        color = instance_color(labels[class_id], track_id)
        points = pixels(path)
        cv2.polylines(picture, [points], False, color, 2, cv2.LINE_AA)
        cv2.circle(picture, tuple(points[-1].tolist()), 3, color, 1, cv2.LINE_AA)
    cv2.polylines(picture, [pixels(ego)], False, _EGO, 2, cv2.LINE_AA)
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
    height = round(picture.shape[0] * _SHEET_WIDTH / picture.shape[1])
    return cv2.resize(picture, (_SHEET_WIDTH, height), interpolation=cv2.INTER_AREA)
