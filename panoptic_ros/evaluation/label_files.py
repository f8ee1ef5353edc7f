"""Scores of label files of any origin: no network runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.datasets.classes import WANTED_IDS
from panoptic_ros.datasets.coco_files import (
    Annotation,
    BrokenFile,
    predicted_segments,
    true_segments,
    truth_faults,
)
from panoptic_ros.datasets.panoptic_sources import (
    COCO,
    PanopticImage,
    PanopticSource,
    SourceEntry,
    open_source,
)
from panoptic_ros.labels import CITYSCAPES, LabelSet
from panoptic_ros.scores.boundaries import boundary_overlaps
from panoptic_ros.scores.cityscapes_iou import WeightedInstances
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.overlaps import Overlaps, overlaps, positions
from panoptic_ros.scores.panoptic_quality import PanopticQuality, without_scores
from panoptic_ros.scores.quality_variants import QualityVariants
from panoptic_ros.scores.segments import VOID, Segments

Comparison = tuple[Overlaps, Segments, Segments]
Faults = dict[str, list[int]]
# Name, truth, prediction -> what a report shows of them: `pictures` and `segments`.
Painter = Callable[[str, PanopticImage, PanopticImage], dict[str, Any]]
# A confusion matrix of so many takes 32 MB.
MOST_CATEGORIES = 2000


@dataclass(frozen=True)
class FrameQuality:
    """Hold what one frame adds.

    intersection, union: pixels of each class in truth and prediction, int64 [C]; shown: what
    the `Painter` gave.
    """

    entry: SourceEntry
    prediction: SourceEntry | None
    quality: PanopticQuality
    intersection: np.ndarray
    union: np.ndarray
    shown: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Counts:
    """Hold what one frame adds to the sums over all."""

    variants: QualityVariants
    confusion: ConfusionMatrix
    weighted: WeightedInstances


@dataclass
class FileScore:
    """Hold the score of a set of files and what was wrong with them.

    missing: image ids without a prediction, scored as empty; unused: image ids of predictions
    without truth; broken: one line per file that cannot be used, its path first. An image
    whose prediction is broken is scored as empty, one whose truth is broken not at all.
    warnings: one line per kind of fault that changes no score, with how often it is there;
    unscorable: why nothing could be scored, None where something was; frames: in the order of
    the truth.
    """

    variants: QualityVariants
    confusion: ConfusionMatrix
    weighted: WeightedInstances
    labels: LabelSet
    frames: list[FrameQuality] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unscorable: str | None = None

    @property
    def quality(self) -> PanopticQuality:
        """The panoptic quality alone."""
        return self.variants.quality

    def results(self) -> dict[str, Any]:
        """Return `PanopticQuality.results`, its scores None where nothing could be scored."""
        results = self.quality.results()
        return without_scores(results) if self.unscorable else results


def score_files(
    truth_json: Path, truth_dir: Path, prediction_json: Path, prediction_dir: Path
) -> FileScore:
    """Score COCO-panoptic predictions against COCO-panoptic truth; errors as `open_source`'s."""
    truth = open_source(truth_json, truth_dir, COCO)
    return score_sources(truth, open_source(prediction_json, prediction_dir, COCO))


def score_sources(
    truth: PanopticSource,
    prediction: PanopticSource,
    boundaries: bool = False,
    paint: Painter | None = None,
) -> FileScore:
    """Score predictions against the truth, frame by frame.

    Frames are found by image id in two COCO-panoptic files, by their names otherwise.
    boundaries: whether boundary PQ is wanted, which takes long; paint: writes a frame's pictures.
    Raise BrokenFile for a truth without categories, or with more than MOST_CATEGORIES.
    """
    if not truth.categories:
        raise BrokenFile(f"{truth.path}: has no categories, so there are no classes to score")
    key = attrgetter("image_id" if truth.kind == prediction.kind == COCO else "name")
    predictions = {key(e): e for e in prediction.entries}
    known = dict.fromkeys(map(key, truth.entries))
    labels = truth.labels
    if len(labels) > MOST_CATEGORIES:
        raise BrokenFile(
            f"{truth.path}: lists {len(labels)} categories, more than {MOST_CATEGORIES}"
        )
    score = FileScore(
        QualityVariants(labels), ConfusionMatrix(labels), WeightedInstances(labels), labels
    )
    score.missing = [str(key(e)) for e in truth.entries if key(e) not in predictions]
    score.unused = [str(i) for i in predictions if i not in known]
    score.warnings += _repeated_categories(truth)
    score.warnings += _repeated(truth.path, truth.listed, "each is scored")
    score.warnings += _repeated(prediction.path, prediction.listed, "the last is scored")
    score.warnings += _train_ids(prediction.path, prediction.listed, score.quality.is_thing)
    pairs = [(e, predictions.get(key(e))) for e in truth.entries]
    faults: dict[str, list[str]] = {}
    # Decoding and most of the counting release Python's lock, so threads are enough.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = tqdm(
            pool.map(partial(_score_frame, labels, boundaries, paint), pairs), "scoring", len(pairs)
        )
        for (entry, _), (frame, counts, broken, doubtful) in zip(pairs, found, strict=True):
            if broken:
                score.broken.append(broken)
            if frame and counts:
                score.frames.append(frame)
                score.variants.add(counts.variants)
                score.confusion.counts += counts.confusion.counts
                score.weighted.counts += counts.weighted.counts
            for words, ids in doubtful.items():
                faults.setdefault(words, []).extend(f"{i} of image {entry.image_id}" for i in ids)
    score.warnings += [
        f"{truth.path}: {len(ids)} {words} (the first: {ids[0]})" for words, ids in faults.items()
    ]
    score.broken += truth.problems + prediction.problems
    score.unscorable = _unscorable(score, truth.path, prediction.path, known, predictions)
    if score.unscorable is None:
        score.warnings += _no_match(score, prediction)
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


def _repeated_categories(truth: PanopticSource) -> list[str]:
    """Return a line for ids and one for names that several categories have."""
    lines = []
    for words, values in (
        ("ids, of which the last counts", [c.id for c in truth.categories]),
        ("names", [c.name for c in {c.id: c for c in truth.categories}.values()]),
    ):
        shared = [value for value, count in Counter(values).items() if count > 1]
        if shared:
            lines.append(
                f"{truth.path}: {len(shared)} categories share their {words} "
                f"(the first: {shared[0]!r})"
            )
    return lines


def _no_match(score: FileScore, prediction: PanopticSource) -> list[str]:
    """Return a line where predictions were read and none of their segments matches."""
    read = not score.broken and any(frame.prediction for frame in score.frames)
    if not read or score.quality.tp.sum():
        return []
    ids = "needed are the truth's category ids" if prediction.kind == COCO else WANTED_IDS
    return [f"{prediction.path}: none of its segments matches the truth; {ids}"]


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
    truth: Path,
    prediction: Path,
    known: Collection[int | str],
    predictions: Collection[int | str],
) -> str | None:
    if not known:
        return f"{truth} lists no image"
    if predictions and not any(i in known for i in predictions):
        return f"no image id of {prediction} ({_some(predictions)}) is in {truth} ({_some(known)})"
    if not score.quality.results()["all"]["n"]:
        return f"{truth} holds no segment to score: all of it is void, groups or broken"
    return None


def _some(ids: Collection[int | str]) -> str:
    shown = ", ".join(repr(i) for i in list(ids)[:3])
    return shown if len(ids) <= 3 else f"{shown}, ..."


def _score_frame(
    labels: LabelSet,
    boundaries: bool,
    paint: Painter | None,
    entries: tuple[SourceEntry, SourceEntry | None],
) -> tuple[FrameQuality | None, _Counts | None, str | None, Faults]:
    """Return a frame's score, if the truth can be read, and what it adds to the sums.

    Then what is broken, and the truth's faults.
    """
    entry, predicted = entries
    try:
        truth = entry.read()
    except (OSError, ValueError) as error:
        return None, None, entry.told(error), {}
    comparison, broken = None, None
    classes = set(labels.by_id)
    if predicted:
        try:
            found = predicted.read()
            comparison = _compare(truth, found, classes)
        except (OSError, ValueError) as error:
            broken = predicted.told(error)
    if comparison is None:
        found = PanopticImage(np.zeros_like(truth.pixels), Annotation(entry.image_id, "", {}))
        comparison = _compare(truth, found, classes)
    counts = _Counts(QualityVariants(labels), ConfusionMatrix(labels), WeightedInstances(labels))
    edges = boundary_overlaps(truth.ids(), found.ids()) if boundaries else None
    counts.variants.add_image(*comparison, edges)
    pairs, segments, ours = comparison
    classes_there, classes_here = _classes(segments, pairs.truth), _classes(ours, pairs.prediction)
    counts.confusion.add_classes(classes_there, classes_here, pairs.pixels)
    counts.weighted.add_instances(pairs.truth, _instances(segments), classes_here, pairs.pixels)
    shown = paint(entry.name, truth, found) if paint else {}
    areas = counts.confusion.areas()
    frame = FrameQuality(entry, predicted, counts.variants.quality, *areas, shown)
    return frame, counts, broken, truth_faults(truth.annotation, pairs, classes)


def _compare(
    truth: PanopticImage, prediction: PanopticImage, classes: Collection[int]
) -> Comparison:
    are_alike = truth.pixels.ndim == prediction.pixels.ndim
    images = (truth.pixels, prediction.pixels) if are_alike else (truth.ids(), prediction.ids())
    pairs = overlaps(*images)
    return (
        pairs,
        true_segments(truth.annotation, pairs),
        predicted_segments(prediction.annotation, pairs, classes),
    )


def _classes(segments: Segments, ids: np.ndarray) -> np.ndarray:
    """Return the class of each segment id, -1 for void and for what is no segment, int64 [K]."""
    at = np.where(ids == VOID, -1, positions(segments.ids, ids))
    return np.append(segments.class_ids, -1)[at]


def _instances(truth: Segments) -> dict[int, int]:
    """Return the class of each true segment, crowds aside."""
    single = ~truth.crowd
    return dict(zip(truth.ids[single].tolist(), truth.class_ids[single].tolist(), strict=True))
