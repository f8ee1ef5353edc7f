"""Score a live replay: labels matched by stamp to their images and to the truth."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from panoptic_ros.evaluation.console_tables import percent, table
from panoptic_ros.evaluation.report.tables import group_table
from panoptic_ros.evaluation.timing import statistics
from panoptic_ros.labels import LabelSet
from panoptic_ros.replay.source import stamps_text
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments

# Of labels and truth that wait for each other. They travel on topics of their own, but a
# truth that is later than this is taken as missing.
_WAITING = 50


class LiveScore:
    """Count frames, take their latency and score the answers, in whichever order they arrive.

    Stamps are integers, nanoseconds; times are seconds on one clock; label images are integer
    [H, W], class_id * 1000 + n for things. What of a stamp that several images have an answer
    belongs to is not known: they are counted, but have neither latency nor score.
    """

    def __init__(self, labels: LabelSet) -> None:
        self._problems: list[str] = []
        self._labels = labels
        self._quality = PanopticQuality.of(labels)
        self._confusion = ConfusionMatrix(labels)
        # Of each stamp the number and the time of the first.
        self._images: Counter[int] = Counter()
        self._answers: Counter[int] = Counter()
        self._image_times: dict[int, float] = {}
        self._answer_times: dict[int, float] = {}
        self._waiting: dict[str, OrderedDict[int, np.ndarray]] = {
            "truth": OrderedDict(),
            "answer": OrderedDict(),
        }
        self._scored: set[int] = set()

    @property
    def problems(self) -> list[str]:
        """A line for each answer that could not be scored, and for stamps that leave a doubt."""
        shared = [stamp for stamp in self._images if self._is_shared(stamp)]
        if not shared:
            return self._problems
        words = f"not scored: {stamps_text(shared)} belong to several images"
        return [*self._problems, words]

    def add_image(self, stamp: int, time: float) -> None:
        """Note when an image was seen."""
        self._images[stamp] += 1
        self._image_times.setdefault(stamp, time)

    def add_answer(self, stamp: int, time: float) -> None:
        """Note when a label image came."""
        self._answers[stamp] += 1
        self._answer_times.setdefault(stamp, time)

    def add_labels(self, stamp: int, labels: np.ndarray) -> None:
        """Score an answer's label image, at once or when its truth comes."""
        self._match("answer", stamp, labels)

    def add_truth(self, stamp: int, labels: np.ndarray) -> None:
        """Score by a true label image, at once or when the answer comes."""
        self._match("truth", stamp, labels)

    def results(self) -> dict[str, Any]:
        """Return counts, latency in milliseconds and quality as fractions.

        {"frames": {"published", "answered", "dropped", "scored"}, "latency_ms": {"mean",
        "p50", "p95", "min", "max"}, "panoptic": see `PanopticQuality.results`, "miou"}; what
        nothing was seen of is None. An answer to an image that was not seen counts as one
        that was published, but has no latency.
        """
        published = sum((self._images | self._answers).values())
        answered = self._answers.total()
        latencies = [
            1e3 * (time - self._image_times[stamp])
            for stamp, time in self._answer_times.items()
            if stamp in self._image_times and not self._is_shared(stamp)
        ]
        miou = self._confusion.mean_iou()
        return {
            "frames": {
                "published": published,
                "answered": answered,
                "dropped": published - answered,
                "scored": len(self._scored),
            },
            "latency_ms": statistics(latencies),
            "panoptic": self._quality.results() if self._scored else None,
            "miou": None if math.isnan(miou) else miou,
        }

    def _is_shared(self, stamp: int) -> bool:
        return max(self._images[stamp], self._answers[stamp]) > 1

    def _match(self, kind: str, stamp: int, labels: np.ndarray) -> None:
        if stamp in self._scored or self._is_shared(stamp):
            return
        other = self._waiting["answer" if kind == "truth" else "truth"].pop(stamp, None)
        if other is None:
            waiting = self._waiting[kind]
            waiting.setdefault(stamp, labels)
            if len(waiting) > _WAITING:
                waiting.popitem(last=False)
            return
        self._score(stamp, *((labels, other) if kind == "truth" else (other, labels)))

    def _score(self, stamp: int, truth: np.ndarray, answer: np.ndarray) -> None:
        try:
            pairs, true, predicted = label_image_segments(truth, answer, self._labels)
        except ValueError as error:
            self._problems.append(f"labels of stamp {stamp} ns cannot be scored: {error}")
            return
        self._scored.add(stamp)
        self._quality.add(pairs, true, predicted)
        self._confusion.add_overlaps(pairs)


def report_text(results: Mapping[str, Any]) -> str:
    """Return what `LiveScore.results` gives as tables for the console."""
    frames = results["frames"]
    counts = table(list(frames), [[str(n) for n in frames.values()]])
    latency = results["latency_ms"]
    parts = ["Frames\n" + counts]
    if latency:
        cells = [f"{value:.1f}" for value in latency.values()]
        parts.append("Latency, image to labels, ms\n" + table(list(latency), [cells]))
    if results["panoptic"]:
        groups = group_table(results["panoptic"])
        quality = table(groups.header, groups.rows)
        title = f"Quality of the answered frames, mIoU {percent(results['miou'])} %"
        parts.append(f"{title}\n{quality}")
    return "\n\n".join(parts)
