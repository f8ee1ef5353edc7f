"""From the score of label files to results.json and to the frames of its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.datasets.exports import make_export
from panoptic_ros.datasets.panoptic_sources import PanopticImage, PanopticSource, frame_name
from panoptic_ros.datasets.picture_files import PICTURES, files_below, read_picture
from panoptic_ros.evaluation.intervals import class_counts, quality_intervals
from panoptic_ros.evaluation.label_files import FileScore
from panoptic_ros.evaluation.report.pictures import PictureFolder, label_colors
from panoptic_ros.evaluation.results import (
    VERSION,
    class_list,
    confusion_results,
    quality_results,
    text_keys,
)
from panoptic_ros.evaluation.run_facts import run_facts
from panoptic_ros.labels import CITYSCAPES, LabelSet, class_ids
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.scores.panoptic_quality import known_scores

# The one method that label files are of.
METHOD = "prediction"
# Pictures take a table of so many classes' colours.
_LARGEST_SHOWN_CLASS = 10_000


def file_results(
    score: FileScore, truth: PanopticSource, prediction: PanopticSource
) -> dict[str, Any]:
    """Return the content of results.json, as far as label files have it."""
    classes = [class_counts(f.quality, score.labels, f.intersection, f.union) for f in score.frames]
    return {
        "version": VERSION,
        "label_set": score.labels.name,
        "classes": class_list(score.labels),
        "dataset": {
            "name": truth.path.stem,
            "truth": str(truth.path),
            "layout": truth.kind,
            "frames": len(score.frames),
            "broken": score.broken,
            "missing": score.missing,
            "warnings": score.warnings,
        },
        "run": run_facts(),
        "model": {"name": prediction.path.stem, "predictions": str(prediction.path)},
        "fusion": {
            METHOD: {
                **quality_results(score.variants),
                "panoptic": text_keys(score.results(), "per_class"),
                "intervals": quality_intervals(classes, score.labels.ids.tolist()),
                "semantic": confusion_results(score.confusion, score.weighted),
            }
        },
        "frames": [
            {
                "name": frame.entry.name,
                "pq": {METHOD: known_scores(frame.quality.results())["all"]["pq"]},
                "classes": {METHOD: counts},
                "pictures": {},
                **frame.shown,
            }
            for frame, counts in zip(score.frames, classes, strict=True)
        ],
    }


class FilePainter:
    """Write frames' pictures beside a report, and predictions in other formats.

    folder: the report's own; images: folder of the camera's pictures, at any depth; formats: of
    `datasets.exports`, below FOLDER/exports. Raise ValueError for formats of other classes than
    Cityscapes'.
    """

    def __init__(
        self, folder: Path, labels: LabelSet, images: Path | None, formats: Sequence[str] = ()
    ) -> None:
        known = {(c.id, c.name) for c in CITYSCAPES.classes}
        if formats and not {(c.id, c.name) for c in labels.classes} <= known:
            raise ValueError("predictions are exported from Cityscapes' classes; these are others")
        self._exports = [make_export(f, folder / "exports", METHOD, labels) for f in formats]
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._thing_ids = {c.id for c in labels.things}
        # A table of colours grows with the largest id.
        self._writes = max(labels.by_id, default=0) <= _LARGEST_SHOWN_CLASS
        self._labels, self._pictures = labels, PictureFolder(folder, labels)
        self._camera = _camera_files(images) if images else {}

    def __call__(
        self, name: str, truth: PanopticImage, prediction: PanopticImage
    ) -> dict[str, Any]:
        """Write one frame's pictures; return their paths, and its worst segments.

        {"pictures", "segments"}: see `PictureFolder.write` and `write_errors`.
        """
        if not self._writes:
            return {}
        true, found = (side.labels(self._thing_ids) for side in (truth, prediction))
        if self._exports:
            panoptic = _as_prediction(found, self._labels)
            entries = [e.write(name, name, panoptic) for e in self._exports]
            self._entries[name] = entries
        image = self._image(name)
        if image is None or image.shape[:2] != true.shape:
            image = label_colors(true, self._labels)
        return {
            "pictures": self._pictures.write(name, image, true, {METHOD: found}),
            "segments": self._pictures.write_errors(name, image, true, found),
        }

    def finish(self, names: Iterable[str]) -> None:
        """Write what stands for all frames of an export, in the order of some names."""
        rows = [self._entries[name] for name in names if name in self._entries]
        for i, export in enumerate(self._exports):
            export.finish([row[i] for row in rows])

    def _image(self, name: str) -> np.ndarray | None:
        try:
            return read_picture(self._camera[name]) if name in self._camera else None
        except (OSError, ValueError):
            return None  # a report can do without


def _camera_files(folder: Path) -> dict[str, Path]:
    """Return pictures by their frames' names, alone and with some or all of their folders."""
    found = {}
    for file in files_below(folder, *PICTURES):
        name = frame_name(file.stem)
        found[name] = file
        for parent in reversed(file.relative_to(folder).parent.parts):
            name = f"{parent}/{name}"
            found[name] = file
    return found


def _as_prediction(labels: np.ndarray, label_set: LabelSet) -> PanopticPrediction:
    """Return a label image with its things, whose scores nobody knows, as 1."""
    segments = []
    for value in np.unique(labels).tolist():
        class_id = int(class_ids(np.array(value)))
        if class_id in label_set.by_id and label_set[class_id].is_thing:
            mask = (labels == value).astype(np.uint8)
            x, y, width, height = cv2.boundingRect(mask)
            box = (x, y, x + width, y + height)
            segments.append(Segment(value, class_id, True, 1.0, int(mask.sum()), box))
    return PanopticPrediction(labels, segments)
