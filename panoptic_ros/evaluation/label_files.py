"""Panoptic quality of COCO-panoptic files of any origin."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

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
    truth_faults,
)
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.overlaps import Overlaps, overlaps
from panoptic_ros.scores.panoptic_quality import PanopticQuality, without_scores
from panoptic_ros.scores.segments import Segments

Comparison = tuple[Overlaps, Segments, Segments]
Faults = dict[str, list[int]]


@dataclass
class FileScore:
    """Hold the score of a set of files and what was wrong with them.

    missing: image ids without a prediction, scored as empty; unused: image ids of predictions
    without truth; broken: one line per file that cannot be used, its path first. An image
    whose prediction is broken is scored as empty, one whose truth is broken not at all.
    warnings: one line per kind of fault that changes no score, with how often it is there;
    unscorable: why nothing could be scored, None where something was.
    """

    quality: PanopticQuality
    categories: list[Category]
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unscorable: str | None = None

    def results(self) -> dict[str, Any]:
        """Return `PanopticQuality.results`, its scores None where nothing could be scored."""
        results = self.quality.results()
        return without_scores(results) if self.unscorable else results


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
    listed, _ = read_annotations(prediction_json)
    predictions = {a.image_id: a for a in listed}
    score = FileScore(PanopticQuality({c.id: c.is_thing for c in categories}), categories)
    known = {a.image_id for a in truths}
    score.missing = [str(a.image_id) for a in truths if a.image_id not in predictions]
    score.unused = [str(i) for i in predictions if i not in known]
    score.warnings += _repeated(truth_json, truths, "each is scored")
    score.warnings += _repeated(prediction_json, listed, "the last is scored")
    score.warnings += _train_ids(prediction_json, listed, score.quality.is_thing)
    compare = partial(
        _compare_image, predictions, truth_dir, prediction_dir, score.quality.is_thing
    )
    faults: dict[str, list[str]] = {}
    # Decoding and most of the counting release Python's lock, so threads are enough.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = tqdm(pool.map(compare, truths), "scoring", len(truths))
        for truth, (comparison, broken, doubtful) in zip(truths, found, strict=True):
            if broken:
                score.broken.append(broken)
            if comparison:
                score.quality.add(*comparison)
            for words, ids in doubtful.items():
                faults.setdefault(words, []).extend(f"{i} of image {truth.image_id}" for i in ids)
    score.warnings += [
        f"{truth_json}: {len(ids)} {words} (the first: {ids[0]})" for words, ids in faults.items()
    ]
    score.unscorable = _unscorable(score, truth_json, prediction_json, known, predictions)
    return score


def _repeated(path: Path, annotations: Iterable[Annotation], which: str) -> list[str]:
    """Return a line for images and one for segment ids that are listed more than once."""
    images = [i for i, count in Counter(a.image_id for a in annotations).items() if count > 1]
    segments = [a for a in annotations if a.repeated]
    lines = []
    if images:
        lines.append(
            f"{path}: {len(images)} image ids are listed more than once, {which} "
            f"(the first: {images[0]!r})"
        )
    if segments:
        count = sum(a.repeated for a in segments)
        lines.append(
            f"{path}: {count} segment ids are listed more than once in their image, the last "
            f"entry counts (the first: in image {segments[0].image_id!r})"
        )
    return lines


def _train_ids(
    path: Path, annotations: Iterable[Annotation], classes: Collection[int]
) -> list[str]:
    """Return a line where the categories look like train ids and the truth's do not."""
    used = {int(i) for a in annotations for i in a.column("category_id")}
    if not used - set(classes) or max(used) >= len(CITYSCAPES) or max(classes) < len(CITYSCAPES):
        return []
    return [
        f"{path}: category ids look like train ids (0..18), the truth's are label ids "
        f"({min(classes)}..{max(classes)}); write label ids"
    ]


def _unscorable(
    score: FileScore,
    truth_json: Path,
    prediction_json: Path,
    known: Collection[int | str],
    predictions: Collection[int | str],
) -> str | None:
    if not known:
        return f"{truth_json} lists no image"
    if predictions and not any(i in known for i in predictions):
        return (
            f"no image id of {prediction_json} ({_some(predictions)}) is in {truth_json} "
            f"({_some(known)})"
        )
    if not score.quality.results()["all"]["n"]:
        return f"{truth_json} holds no segment to score: all of it is void, groups or broken"
    return None


def _some(ids: Collection[int | str]) -> str:
    shown = ", ".join(repr(i) for i in list(ids)[:3])
    return shown if len(ids) <= 3 else f"{shown}, ..."


def _compare_image(
    predictions: Mapping[int | str, Annotation],
    truth_dir: Path,
    prediction_dir: Path,
    classes: Collection[int],
    truth: Annotation,
) -> tuple[Comparison | None, str | None, Faults]:
    """Return what `PanopticQuality.add` takes, if the truth can be read, what is broken, faults."""
    try:
        true_colors = read_colors(truth_dir / truth.file_name)
    except BrokenFile as error:
        return None, str(error), {}
    prediction = predictions.get(truth.image_id)
    comparison, broken = None, None
    if prediction:
        path = prediction_dir / prediction.file_name
        try:
            comparison = _compare(truth, true_colors, prediction, read_colors(path), classes)
        except BrokenFile as error:
            broken = str(error)
        except ValueError as error:
            broken = f"{path}: {error}"
    if comparison is None:
        empty = Annotation(truth.image_id, "", {})
        comparison = _compare(truth, true_colors, empty, np.zeros_like(true_colors), classes)
    return comparison, broken, truth_faults(truth, comparison[0], classes)


def _compare(
    truth: Annotation,
    true_colors: np.ndarray,
    prediction: Annotation,
    predicted_colors: np.ndarray,
    classes: Collection[int],
) -> Comparison:
    pairs = overlaps(true_colors, predicted_colors)
    return pairs, true_segments(truth, pairs), predicted_segments(prediction, pairs, classes)
