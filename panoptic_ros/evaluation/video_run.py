"""Scores of tracks and videos that are files: KITTI MOTS' texts, label images, bags."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.datasets.coco_files import Annotation
from panoptic_ros.datasets.kitti_mots import CLASSES, IGNORE, MotsSequence, read_mots
from panoptic_ros.datasets.panoptic_sources import COCO, PanopticImage, PanopticSource, SourceEntry
from panoptic_ros.evaluation.console_tables import percent, table
from panoptic_ros.evaluation.report.tables import tracks_table
from panoptic_ros.evaluation.tracked_video import TrackedVideo
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.scores.mots import TrackSequence, track_results
from panoptic_ros.scores.track_accuracy import TrackScore
from panoptic_ros.scores.video_quality import VideoQuality

_EMPTY = PanopticImage(np.zeros((0, 0), np.uint16), Annotation("", "", {}))


def score_mots(truth: Path, prediction: Path) -> dict[str, Any]:
    """Score KITTI MOTS text files: {"classes": {name: `track_results`}, "sequences": names}.

    truth, prediction: a file each, or folders with files of the same names. A sequence without
    predictions counts as empty; it is named on stderr, and so is one without truth.
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
    if extra := found.keys() - {s.name for s in true}:
        print(f"not scored, as {truth} has no truth: {', '.join(sorted(extra))}", file=sys.stderr)
    gathered: dict[int, list[TrackSequence]] = {class_id: [] for class_id in CLASSES}
    for sequence in true:
        if sequence.name not in found:
            print(f"no prediction for sequence {sequence.name}: counted as empty", file=sys.stderr)
        tracks = found.get(sequence.name, MotsSequence(sequence.name, prediction, {}))
        for class_id, sequences in gathered.items():
            sequences.append(_of_class(sequence, tracks, class_id))
    classes = {CLASSES[class_id]: track_results(s) for class_id, s in gathered.items()}
    return {"classes": classes, "sequences": [s.name for s in true]}


def score_video(true: PanopticSource, found: PanopticSource) -> dict[str, Any]:
    """Score label images, in folders or bags, whose instances last over a sequence.

    {"video": `VideoQuality.results`, "tracks": `TrackScore.results`, "sequences": {name: frames}}.
    A frame SEQUENCE/NAME or CITY_SEQUENCE_FRAME is of that sequence, a bag is one. Where a bag
    has tracks they say which instances of two frames are one, otherwise their numbers do. A
    missing prediction counts as empty and is named on stderr.
    Raise ValueError that names a broken file, and where no frame is in both.
    """
    if COCO in (true.kind, found.kind):
        raise ValueError(
            "COCO-panoptic files do not say which segments of two frames are one; "
            "give folders of label images or bags"
        )
    predictions = {e.name: e for e in found.entries}
    if not any(e.name in predictions for e in true.entries):
        raise ValueError(f"no frame of {found.path} is in {true.path}")
    video, tracks = VideoQuality(true.labels), TrackScore(true.labels)
    sequences: dict[str, int] = {}
    for name, entries in groupby(sorted(true.entries, key=_sequence_of), _sequence_of):
        sequence = TrackedVideo(true.labels, name)
        tracks.start_sequence()
        frames = [*entries]
        sequences[name] = len(frames)
        for entry in tqdm(frames, name or "scoring", unit="frame"):
            truth = _read(entry).ids()
            predicted = predictions.get(entry.name)
            if predicted is None:
                print(f"no prediction for frame {entry.name}: counted as empty", file=sys.stderr)
            image = _read(predicted) if predicted else _EMPTY
            labels = image.ids() if predicted else truth * 0
            things = _things(image, true.labels)
            try:
                if image.track_ids is None:
                    sequence.quality.add(truth, labels)
                else:
                    sequence.add(truth, labels, things, image.track_ids)
            except ValueError as error:
                raise ValueError((predicted or entry).told(error)) from error
            lasting = {value: value for value in things}
            tracks.add(truth, labels, lasting if image.track_ids is None else image.track_ids)
        video.add_counts(sequence.quality.counts())
    return {"video": video.results(), "tracks": tracks.results(), "sequences": sequences}


def video_table(results: Mapping[str, Any]) -> str:
    """Return what `score_video` gives as text."""
    vpq, stq = results["video"]["vpq"], results["video"]["stq"]
    quality = [["VPQ, mean", percent(vpq["vpq"])]]
    for k, window in vpq["windows"].items():
        quality.append([f"VPQ, window {k}", percent(window["all"]["pq"])])
    quality += [[name.upper(), percent(stq[name])] for name in ("stq", "aq")]
    quality.append(["mIoU (of STQ)", percent(stq["iou"])])
    return f"{table(['', '%'], quality)}\n\n{tracks_table(results['tracks']).to_text()}"


def _of_class(truth: MotsSequence, tracks: MotsSequence, class_id: int) -> TrackSequence:
    sequence = TrackSequence()
    frames = sorted({*truth.frames, *tracks.frames})
    for frame in frames:
        true, found = truth.frames.get(frame, []), tracks.frames.get(frame, [])
        sizes = [tuple(masks[0].mask["size"]) for masks in (true, found) if masks]
        if len({*sizes}) > 1:
            raise ValueError(
                f"{tracks.path}: frame {frame} has masks of {sizes[1]} (rows, columns), "
                f"{truth.path} of {sizes[0]}"
            )
        sequence.add_masks(
            [(m.object_id, m.mask) for m in true if m.class_id == class_id],
            [(m.object_id, m.mask) for m in found if m.class_id == class_id],
            [m.mask for m in true if m.class_id == IGNORE],
        )
    return sequence


def _sequence_of(entry: SourceEntry) -> str:
    """Return the sequence of a frame SEQUENCE/NAME or CITY_SEQUENCE_FRAME, else ""."""
    name = entry.name
    if "/" in name:
        return name.rsplit("/", 1)[0]
    return name.rsplit("_", 1)[0] if "_" in name else ""


def _things(image: PanopticImage, labels: LabelSet) -> list[int]:
    """Return the segment ids that are instances of things."""
    things = {c.id for c in labels.things}
    return [v for v in image.annotation.infos if v // INSTANCE_DIVISOR in things]


def _read(entry: SourceEntry) -> PanopticImage:
    try:
        return entry.read()
    except (OSError, ValueError) as error:
        raise ValueError(entry.told(error)) from error
