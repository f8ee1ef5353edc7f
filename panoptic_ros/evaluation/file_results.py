"""From the score of label files to results.json and to the frames of its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from panoptic_ros.datasets.panoptic_sources import PanopticImage, PanopticSource, frame_name
from panoptic_ros.datasets.picture_files import PICTURES, read_picture
from panoptic_ros.evaluation.frame_classes import class_counts
from panoptic_ros.evaluation.intervals import quality_intervals
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
from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.panoptic_quality import PanopticQuality

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
                "pq": {METHOD: _own_quality(frame.quality)},
                "classes": {METHOD: counts},
                "pictures": frame.pictures,
            }
            for frame, counts in zip(score.frames, classes, strict=True)
        ],
    }


class FilePainter:
    """Write frames' pictures beside a report, on the camera's where there are any.

    folder: the report's own; images: folder of the camera's pictures, at any depth.
    """

    def __init__(self, folder: Path, labels: LabelSet, images: Path | None) -> None:
        self._thing_ids = {c.id for c in labels.things}
        # A table of colours grows with the largest id.
        self._writes = max(labels.by_id) <= _LARGEST_SHOWN_CLASS
        self._labels, self._pictures = labels, PictureFolder(folder, labels)
        self._camera = _pictures(images) if images else {}

    def __call__(
        self, name: str, truth: PanopticImage, prediction: PanopticImage
    ) -> dict[str, str]:
        """Write one frame's pictures and return their paths below the folder."""
        if not self._writes:
            return {}
        true, found = (side.labels(self._thing_ids) for side in (truth, prediction))
        image = self._image(name)
        if image is None or image.shape[:2] != true.shape:
            image = label_colors(true, self._labels)
        return self._pictures.write(name, image, true, {METHOD: found})

    def _image(self, name: str) -> np.ndarray | None:
        try:
            return read_picture(self._camera[name]) if name in self._camera else None
        except ValueError:
            return None  # a report can do without


def _pictures(folder: Path) -> dict[str, Path]:
    files = (p for p in sorted(folder.rglob("[!.]*")) if p.suffix.lower() in PICTURES)
    return {frame_name(p.stem): p for p in files}


def _own_quality(quality: PanopticQuality) -> float | None:
    found = quality.results()["all"]
    return found["pq"] if found["n"] else None
