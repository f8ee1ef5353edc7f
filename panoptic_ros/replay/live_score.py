"""What real time cost: labels matched by stamp to the images they answer and to the truth."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np

from panoptic_ros.evaluation.timing import statistics
from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments

# Of labels and truth that wait for each other. They travel on topics of their own, but a
# truth that comes this much later does not come at all.
_WAITING = 50


class LiveScore:
    """Count frames, take their latency and score the answers, in whichever order they arrive.

    Stamps are integers, nanoseconds; times are seconds on one clock; label images are integer
    [H, W], class_id * 1000 + n for things. A stamp counts once: what repeats it is ignored.
    problems: a line for each answer that could not be scored.
    """

    def __init__(self, labels: LabelSet) -> None:
        self.problems: list[str] = []
        self._labels = labels
        self._quality = PanopticQuality.of(labels)
        self._confusion = ConfusionMatrix(labels)
        self._images: dict[int, float] = {}
        self._answers: dict[int, float] = {}
        self._waiting: dict[str, OrderedDict[int, np.ndarray]] = {
            "truth": OrderedDict(),
            "answer": OrderedDict(),
        }
        self._scored: set[int] = set()

    def add_image(self, stamp: int, time: float) -> None:
        """Note when an image was seen."""
        self._images.setdefault(stamp, time)

    def add_answer(self, stamp: int, time: float) -> bool:
        """Note when a label image came; return whether it is the stamp's first."""
        is_first = stamp not in self._answers
        self._answers.setdefault(stamp, time)
        return is_first

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
        published = self._images.keys() | self._answers.keys()
        latencies = [
            1e3 * (time - self._images[stamp])
            for stamp, time in self._answers.items()
            if stamp in self._images
        ]
        miou = self._confusion.mean_iou()
        return {
            "frames": {
                "published": len(published),
                "answered": len(self._answers),
                "dropped": len(published) - len(self._answers),
                "scored": len(self._scored),
            },
            "latency_ms": statistics(latencies),
            "panoptic": self._quality.results() if self._scored else None,
            "miou": None if math.isnan(miou) else miou,
        }

    def _match(self, kind: str, stamp: int, labels: np.ndarray) -> None:
        if stamp in self._scored:
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
            self.problems.append(f"labels of stamp {stamp} ns cannot be scored: {error}")
            return
        self._scored.add(stamp)
        self._quality.add(pairs, true, predicted)
        self._confusion.add_overlaps(pairs)
