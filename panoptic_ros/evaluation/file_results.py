"""From the score of label files to results.json and to the frames of its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from panoptic_ros.datasets.panoptic_sources import PanopticSource, SourceEntry, frame_name
from panoptic_ros.datasets.picture_files import PICTURES, read_picture
from panoptic_ros.evaluation.frame_classes import class_counts
from panoptic_ros.evaluation.label_files import FileScore
from panoptic_ros.evaluation.report.pictures import ReportFrame, extremes, label_colors
from panoptic_ros.evaluation.results import (
    VERSION,
    class_list,
    confusion_results,
    quality_results,
    text_keys,
)
from panoptic_ros.scores.panoptic_quality import PanopticQuality

# The one method that label files are of.
METHOD = "prediction"
# Pictures take a table of so many classes' colours.
_LARGEST_SHOWN_CLASS = 10_000


def file_results(
    score: FileScore, truth: PanopticSource, prediction: PanopticSource
) -> dict[str, Any]:
    """Return the content of results.json, as far as label files have it."""
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
        "model": {"name": prediction.path.stem, "predictions": str(prediction.path)},
        "fusion": {
            METHOD: {
                **quality_results(score.variants),
                "panoptic": text_keys(score.results(), "per_class"),
                "semantic": confusion_results(score.confusion, score.weighted),
            }
        },
        "frames": [
            {
                "name": frame.entry.name,
                "pq": {METHOD: _own_quality(frame.quality)},
                "classes": {
                    METHOD: class_counts(
                        frame.quality, score.labels, frame.intersection, frame.union
                    )
                },
            }
            for frame in score.frames
        ],
    }


def shown_frames(score: FileScore, images: Path | None) -> list[ReportFrame]:
    """Return the best and the worst frames; images: folder of the camera's pictures, if any."""
    if max(score.labels.by_id) > _LARGEST_SHOWN_CLASS:
        return []
    pictures = _pictures(images) if images else {}
    frames = {f.entry.name: f for f in score.frames}
    quality = {name: _own_quality(f.quality) for name, f in frames.items()}
    shown = []
    for rank, group in extremes(quality):
        for name, pq in group.items():
            truth = _labels(frames[name].entry, score)
            predicted = _labels(frames[name].prediction, score)
            if truth is None:
                continue
            if predicted is None:
                predicted = np.zeros_like(truth)
            image = read_picture(pictures[name]) if name in pictures else None
            if image is None or image.shape[:2] != truth.shape:
                image = label_colors(truth, score.labels)
            shown.append(ReportFrame(name, METHOD, rank, pq, image, truth, predicted))
    return shown


def _labels(entry: SourceEntry | None, score: FileScore) -> np.ndarray | None:
    """Return a frame's label image, None where there is none to read."""
    if entry is None:
        return None
    try:
        return entry.read().labels({c.id for c in score.labels.things})
    except (OSError, ValueError):
        return None


def _pictures(folder: Path) -> dict[str, Path]:
    files = (p for p in sorted(folder.rglob("[!.]*")) if p.suffix.lower() in PICTURES)
    return {frame_name(p.stem): p for p in files}


def _own_quality(quality: PanopticQuality) -> float | None:
    found = quality.results()["all"]
    return found["pq"] if found["n"] else None
