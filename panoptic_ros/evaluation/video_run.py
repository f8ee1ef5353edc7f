"""Scores of tracks and videos that are files: KITTI MOTS' texts, folders of label images."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from panoptic_ros.datasets.kitti_mots import CLASSES, IGNORE, MotsMask, MotsSequence, read_mots
from panoptic_ros.datasets.panoptic_sources import COCO, SourceEntry, open_source
from panoptic_ros.evaluation.console_tables import table
from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.scores.mots import TrackSequence, track_results
from panoptic_ros.scores.track_accuracy import TrackScore
from panoptic_ros.scores.video_quality import VideoQuality


def score_mots(truth: Path, prediction: Path) -> dict[str, Any]:
    """Score KITTI MOTS text files: {"classes": {name: `track_results`}, "sequences": names}.

    truth, prediction: a file each, or folders with files of the same names. A sequence without
    predictions counts as empty and is named on stderr.
    Raise as `read_mots`; ValueError where no sequence is in both.
    """
    true, found = read_mots(truth), {s.name: s for s in read_mots(prediction)}
    if len(true) == len(found) == 1 and not truth.is_dir() and not prediction.is_dir():
        found = {true[0].name: next(iter(found.values()))}
    if not any(s.name in found for s in true):
        raise ValueError(
            f"no sequence of {prediction} ({', '.join(found)}) is in {truth} "
            f"({', '.join(s.name for s in true)})"
        )
    gathered: dict[int, list[TrackSequence]] = {class_id: [] for class_id in CLASSES}
    for sequence in true:
        if sequence.name not in found:
            print(f"no prediction for sequence {sequence.name}: counted as empty", file=sys.stderr)
        tracks = found.get(sequence.name, MotsSequence(sequence.name, prediction, {}))
        for class_id, sequences in gathered.items():
            sequences.append(_of_class(sequence, tracks, class_id))
    classes = {CLASSES[class_id]: track_results(s) for class_id, s in gathered.items()}
    return {"classes": classes, "sequences": [s.name for s in true]}


def score_video(
    truth: Path, prediction: Path, layouts: tuple[str | None, str | None] = (None, None)
) -> dict[str, Any]:
    """Score folders of label images whose instance numbers last over a sequence.

    {"video": `VideoQuality.results`, "tracks": `TrackScore.results`, "sequences": {name: frames}}.
    A frame SEQUENCE/NAME or CITY_SEQUENCE_FRAME is of that sequence. A missing prediction counts
    as empty and is named on stderr.
    Raise as `open_source`; ValueError that names a broken file, and where no frame is in both.
    """
    true = open_source(truth, None, layouts[0])
    found = open_source(prediction, None, layouts[1], true.labels)
    if COCO in (true.kind, found.kind):
        raise ValueError(
            "COCO-panoptic files do not say which segments of two frames are one; "
            "give folders of label images"
        )
    predictions = {e.name: e for e in found.entries}
    if not any(e.name in predictions for e in true.entries):
        raise ValueError(f"no frame of {prediction} is in {truth}")
    video, tracks = VideoQuality(true.labels), TrackScore(true.labels)
    sequences: dict[str, int] = {}
    for entry in tqdm(true.entries, "scoring", unit="frame"):
        name = _sequence(entry.name)
        if name not in sequences:
            sequences[name] = 0
            video.start_sequence(name)
            tracks.start_sequence()
        sequences[name] += 1
        pixels = _pixels(entry)
        predicted = predictions.get(entry.name)
        if predicted is None:
            print(f"no prediction for frame {entry.name}: counted as empty", file=sys.stderr)
        labels = _pixels(predicted) if predicted else pixels * 0
        try:
            video.add(pixels, labels)
        except ValueError as error:
            raise ValueError(f"{predicted.path if predicted else entry.path}: {error}") from error
        things = {c.id for c in true.labels.things}
        values = set(labels.ravel().tolist())
        numbered = [v for v in values if v // INSTANCE_DIVISOR in things]
        tracks.add(pixels, labels, {value: value for value in numbered})
    return {"video": video.results(), "tracks": tracks.results(), "sequences": sequences}


def mots_table(results: Mapping[str, Any]) -> str:
    """Return what `score_mots` gives as text, a row per class."""
    keys = ("hota", "deta", "assa", "smotsa", "motsa", "motsp", "idf1", "switches", "objects")
    rows = [[name, *(_cell(s[k]) for k in keys)] for name, s in results["classes"].items()]
    return table(["", *keys], rows)


def video_table(results: Mapping[str, Any]) -> str:
    """Return what `score_video` gives as text."""
    vpq, stq = results["video"]["vpq"], results["video"]["stq"]
    windows = [(f"{k} frames", w["all"]["pq"]) for k, w in vpq["windows"].items()]
    quality = [["VPQ, mean", _percent(vpq["vpq"])]]
    quality += [[f"VPQ, {name}", _percent(value)] for name, value in windows]
    quality += [[name.upper(), _percent(stq[name])] for name in ("stq", "aq")]
    quality.append(["mIoU (of STQ)", _percent(stq["iou"])])
    quality += [
        [name, _cell(results["tracks"][name])] for name in ("hota", "deta", "assa", "idf1", "mota")
    ]
    return table(["", "%"], quality)


def _of_class(truth: MotsSequence, tracks: MotsSequence, class_id: int) -> TrackSequence:
    sequence = TrackSequence()
    frames = sorted({*truth.frames, *tracks.frames})
    for frame in frames:
        true, found = truth.frames.get(frame, []), tracks.frames.get(frame, [])
        _check_sizes(tracks.path, frame, [*true, *found])
        sequence.add_masks(
            [(m.object_id, m.mask) for m in true if m.class_id == class_id],
            [(m.object_id, m.mask) for m in found if m.class_id == class_id],
            [m.mask for m in true if m.class_id == IGNORE],
        )
    return sequence


def _check_sizes(path: Path, frame: int, masks: Sequence[MotsMask]) -> None:
    sizes = {tuple(m.mask["size"]) for m in masks}
    if len(sizes) > 1:
        raise ValueError(f"{path}: frame {frame} has masks of the sizes {sorted(sizes)}")


def _sequence(name: str) -> str:
    """Return the sequence of a frame SEQUENCE/NAME or CITY_SEQUENCE_FRAME, else ""."""
    if "/" in name:
        return name.rsplit("/", 1)[0]
    return name.rsplit("_", 1)[0] if "_" in name else ""


def _pixels(entry: SourceEntry) -> Any:
    try:
        return entry.read().ids()
    except (OSError, ValueError) as error:
        words = str(error)
        raise ValueError(words if str(entry.path) in words else f"{entry.path}: {words}") from error


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
