"""Panoptic quality of COCO-panoptic files of any origin."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from panoptic_ros.datasets.coco_files import (
    Annotation,
    BrokenFile,
    Category,
    predicted_segments,
    read_annotations,
    read_colors,
    true_segments,
)
from panoptic_ros.scores.overlaps import Overlaps, overlaps
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import Segments

Comparison = tuple[Overlaps, Segments, Segments]


@dataclass
class FileScore:
    """Hold the score of a set of files and what was wrong with them.

    missing: image ids without a prediction, scored as empty; unused: image ids of predictions
    without truth; broken: one line per file that cannot be used, its path first. An image
    whose prediction is broken is scored as empty, one whose truth is broken not at all.
    """

    quality: PanopticQuality
    categories: list[Category]
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def score_files(
    truth_json: Path, truth_dir: Path, prediction_json: Path, prediction_dir: Path
) -> FileScore:
    """Score COCO-panoptic predictions against COCO-panoptic truth.

    Raise BrokenFile or OSError where a JSON file or folder as a whole is not usable.
    """
    for folder in (truth_dir, prediction_dir):
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder}: no such folder; it should hold the PNG files")
    truths, categories = read_annotations(truth_json)
    if not categories:
        raise BrokenFile(f"{truth_json}: has no categories, so there are no classes to score")
    predictions = {a.image_id: a for a in read_annotations(prediction_json)[0]}
    score = FileScore(PanopticQuality({c.id: c.is_thing for c in categories}), categories)
    known = {a.image_id for a in truths}
    score.missing = [str(a.image_id) for a in truths if a.image_id not in predictions]
    score.unused = [str(i) for i in predictions if i not in known]
    compare = partial(
        _compare_image, predictions, truth_dir, prediction_dir, score.quality.is_thing
    )
    # Decoding and most of the counting release Python's lock, so threads are enough.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for comparison, broken in tqdm(pool.map(compare, truths), "scoring", len(truths)):
            if broken:
                score.broken.append(broken)
            if comparison:
                score.quality.add(*comparison)
    return score


def _compare_image(
    predictions: Mapping[int | str, Annotation],
    truth_dir: Path,
    prediction_dir: Path,
    classes: Collection[int],
    truth: Annotation,
) -> tuple[Comparison | None, str | None]:
    """Return what `PanopticQuality.add` takes, if the truth can be read, and what is broken."""
    try:
        true_colors = read_colors(truth_dir / truth.file_name)
    except BrokenFile as error:
        return None, str(error)
    broken = None
    if truth.image_id in predictions:
        prediction = predictions[truth.image_id]
        path = prediction_dir / prediction.file_name
        try:
            return _compare(truth, true_colors, prediction, read_colors(path), classes), None
        except BrokenFile as error:
            broken = str(error)
        except ValueError as error:
            broken = f"{path}: {error}"
    empty = Annotation(truth.image_id, "", {})
    return _compare(truth, true_colors, empty, np.zeros_like(true_colors), classes), broken


def _compare(
    truth: Annotation,
    true_colors: np.ndarray,
    prediction: Annotation,
    predicted_colors: np.ndarray,
    classes: Collection[int],
) -> Comparison:
    pairs = overlaps(true_colors, predicted_colors)
    return pairs, true_segments(truth, pairs), predicted_segments(prediction, pairs, classes)
