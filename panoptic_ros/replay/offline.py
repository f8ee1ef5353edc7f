"""Replay a bag: every frame in order, none dropped, through the node's code."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.evaluation.dataset_run import extremes
from panoptic_ros.evaluation.frame_scores import FrameScorer, FrameScores
from panoptic_ros.evaluation.report.pictures import ReportFrame
from panoptic_ros.evaluation.results import frame_pq
from panoptic_ros.evaluation.timing import SHARED_STAGES, fusion_stage, peak_memory
from panoptic_ros.messages import ImageRefused
from panoptic_ros.pipeline import ImageTooLarge, PanopticPipeline, PanopticResult
from panoptic_ros.prediction import NonFinitePrediction
from panoptic_ros.replay.interrupt import interruptible
from panoptic_ros.replay.output import PanopticBag
from panoptic_ros.replay.source import (
    COPIED_KINDS,
    BagMessage,
    BagSource,
    camera_image,
    stamp_ns,
    stamp_text,
    truth_labels,
)

BAG = "bag"


@dataclass
class ReplayOutcome:
    """Hold what a replay gave.

    timeline: one entry per frame, see docs/replay.md; scores: of the frames with a truth, and
    the best and worst of them to show; problems: a line each; interrupted: whether it was
    stopped before the bag's end.
    """

    timeline: list[dict[str, Any]] = field(default_factory=list)
    scores: list[FrameScores] = field(default_factory=list)
    shown: list[ReportFrame] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False


class Replay:
    """Run a pipeline over a bag's camera topic and write OUT/bag.

    topic, truth_topic: None chooses. Raise FileNotFoundError or ValueError where bag, topic or
    output folder are not what they should be.
    """

    def __init__(
        self,
        pipeline: PanopticPipeline,
        bag: Path,
        out: Path,
        topic: str | None = None,
        truth_topic: str | None = None,
    ) -> None:
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty: choose another --out, nothing is overwritten")
        self._pipeline, self._out = pipeline, out
        self.source = BagSource(bag, topic, truth_topic)
        self._scorer = FrameScorer(pipeline.labels, pipeline.options)

    def __call__(self) -> ReplayOutcome:
        """Replay to the end of what can be read; SIGINT ends it after the frame in work."""
        source, outcome = self.source, ReplayOutcome()
        with source, interruptible() as stop:
            truth = source.truth_stamps()
            copied = {t for t, kind in source.kinds.items() if kind in COPIED_KINDS}
            topics = copied | ({source.camera} if source.camera else set())
            bag = PanopticBag(self._out / BAG, source.storage, source.types, self._pipeline.labels)
            with bag, tqdm(total=source.frames, desc="replaying", unit="frame") as bar:
                bag.add_label_info(source.start)
                for message in source.messages(topics):
                    if message.topic != source.camera:
                        bag.copy(message)
                        continue
                    self._frame(message, truth, bag, outcome)
                    bar.update()
                    if stop.is_set():
                        outcome.interrupted = True
                        break
            problems = list(source.problems)
            outcome.shown = self._shown(truth, outcome)
        outcome.problems = [*problems, *_missing_truth(source, outcome)]
        return outcome

    def _frame(
        self,
        message: BagMessage,
        truth: dict[int, BagMessage],
        bag: PanopticBag,
        outcome: ReplayOutcome,
    ) -> None:
        header = message.message.header
        if not outcome.timeline:
            self._start = message.time
        entry = {"time": (message.time - self._start) / 1e9, "stamp": stamp_text(header)}
        outcome.timeline.append(entry)
        begin = time.perf_counter()
        try:
            image = camera_image(message)
        except ImageRefused as refusal:
            self._refuse(entry, message, refusal)
            return
        decode = (time.perf_counter() - begin) * 1e3
        try:
            result = self._pipeline.run(image)
        except (ImageTooLarge, NonFinitePrediction) as error:
            self._refuse(entry, message, error)
            return
        bag.add(message, image, result)
        segments = result.panoptic.segments
        entry["milliseconds"] = decode + result.timings["total"]
        entry["segments"] = len(segments)
        entry["instances"] = sum(s.is_thing for s in segments)
        entry["pq"] = None
        labels = self._truth(truth.get(stamp_ns(header)), image)
        if labels is not None:
            scores = self._score(entry["stamp"], labels, result, decode)
            outcome.scores.append(scores)
            entry["pq"] = frame_pq(scores, self._pipeline.fusion_name, self._pipeline.labels)

    def _refuse(self, entry: dict[str, Any], message: BagMessage, error: Exception) -> None:
        entry["refused"] = str(error)
        self.source.problems.append(f"{message.topic} at {entry['stamp']} s: {error}")

    def _shown(self, truth: dict[int, BagMessage], outcome: ReplayOutcome) -> list[ReportFrame]:
        """Predict the best and the worst frames once more, to be looked at."""
        fusion, shown = self._pipeline.fusion_name, []
        quality = {entry["stamp"]: entry.get("pq") for entry in outcome.timeline}
        ranks = {name: (r, pq) for r, group in extremes(quality) for name, pq in group.items()}
        for message in self.source.messages({self.source.camera} if ranks else set()):
            header = message.message.header
            if stamp_text(header) not in ranks:
                continue
            image, labels = camera_image(message), truth_labels(truth[stamp_ns(header)])
            rank, pq = ranks.pop(stamp_text(header))
            prediction = self._pipeline(image).labels
            shown.append(
                ReportFrame(stamp_text(header), fusion, rank, pq, image, labels, prediction)
            )
        return sorted(shown, key=lambda f: (f.rank, f.pq if f.rank == "worst" else -f.pq))

    def _truth(self, message: BagMessage | None, image: np.ndarray) -> np.ndarray | None:
        if message is None:
            return None
        try:
            labels = truth_labels(message)
            if labels.shape != image.shape[:2]:
                raise ImageRefused(f"size {labels.shape}, the image has {image.shape[:2]}")
        except ImageRefused as refusal:
            self.source.problems.append(
                f"{message.topic} at {message.time / 1e9:.6f} s: not scored ({refusal})"
            )
            return None
        return labels

    def _score(
        self, name: str, truth: np.ndarray, result: PanopticResult, decode: float
    ) -> FrameScores:
        fusion, times = self._pipeline.fusion_name, result.timings
        return self._scorer(
            name,
            truth,
            result,
            {fusion: result.panoptic},
            {
                "decode": decode,
                **{stage: times[stage] for stage in SHARED_STAGES},
                fusion_stage(fusion): times["fusion"],
            },
            peak_memory(self._pipeline.device),
        )


def _missing_truth(source: BagSource, outcome: ReplayOutcome) -> list[str]:
    """Say how many frames have no truth, in a bag that has some."""
    answered = sum("refused" not in entry for entry in outcome.timeline)
    missing = answered - len(outcome.scores)
    if source.truth is None or not missing or outcome.interrupted:
        return []
    return [f"{missing} of {answered} frames have no truth of their stamp on {source.truth}"]
