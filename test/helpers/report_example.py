"""A small evaluation's results, with figures that can be worked out on paper."""

from __future__ import annotations

from typing import Any

import numpy as np

from panoptic_ros.evaluation.report.pictures import ReportFrame
from panoptic_ros.labels import CITYSCAPES

ROAD, SKY, PERSON, CAR = 7, 23, 24, 26


def example_results() -> dict[str, Any]:
    """Return results.json's content for two strategies on four frames."""
    classes = [
        {"id": c.id, "name": c.name, "is_thing": c.is_thing, "color": list(c.color)}
        for c in CITYSCAPES.classes
    ]
    return {
        "version": 1,
        "label_set": "cityscapes",
        "classes": classes,
        "dataset": {"name": "town", "split": "val", "frames": 4, "broken": []},
        "model": {"name": "tiny", "device": "cpu", "threads": 1},
        "semantic": {"miou": 0.5, "iou": {}, "confusion": None},
        "detector": {"ap": 0.125, "ap50": 0.25, "cityscapes": {"ap": 0.11}, "classes": {}},
        "fusion": {"stack": _fusion(0.711), "conv_head": _fusion(0.8)},
        "timing": _timing(),
        "frames": [
            {"name": f"f{i}", "total": {"stack": 10.0 + i, "conv_head": 12.0 + i}} for i in range(4)
        ],
    }


def example_frame(rank: str = "best") -> ReportFrame:
    """Return a frame of 4 x 6: road, a car found, a person missed, a column of void."""
    truth = np.full((4, 6), ROAD)
    truth[:2, :2] = CAR * 1000
    truth[2:, 2:4] = PERSON * 1000 + 1
    truth[:, 5] = 0
    prediction = np.where(truth == PERSON * 1000 + 1, ROAD, truth)
    image = np.full((4, 6, 3), 90, np.uint8)
    return ReportFrame("frame <1>", "stack", rank, 0.5, image, truth, prediction)


def _fusion(person_iou: float) -> dict[str, Any]:
    per_class = {str(c.id): _entry(0.0, 0) for c in CITYSCAPES.classes}
    per_class[str(ROAD)] = _entry(0.9, 4)
    per_class[str(PERSON)] = _entry(0.5, 2)
    group = {"pq": 0.7, "sq": 0.8, "rq": 0.875, "n": 2}
    confusion = np.eye(19, 20, dtype=int) * 10
    iou = {str(c.id): {"iou": None, "instances": 0} for c in CITYSCAPES.things}
    iou[str(PERSON)] = {"iou": person_iou, "instances": 3}
    return {
        "panoptic": {"all": group, "things": group, "stuff": group, "per_class": per_class},
        "semantic": {
            "miou": 0.6,
            "iou": {str(ROAD): 0.95, str(SKY): None},
            "confusion": confusion.tolist(),
        },
        "instance_iou": {"mean": person_iou, "classes": iou},
        "ap": {"ap": 0.1, "ap50": 0.2, "cityscapes": {"ap": 0.09}, "classes": {}},
    }


def _entry(pq: float, tp: int) -> dict[str, float]:
    return {"pq": pq, "sq": pq, "rq": float(tp > 0), "iou": pq * tp, "tp": tp, "fp": 0, "fn": 0}


def _timing() -> dict[str, Any]:
    times = {"mean": 11.5, "p50": 11.0, "p95": 13.0, "min": 10.0, "max": 13.25}
    return {
        "warmup_frames": 2,
        "frames": 4,
        "stages": {"semantic": times, "fusion stack": times},
        "end_to_end": {"stack": times, "conv_head": times},
        "peak_memory_mib": {"host": 512.4, "device": None},
    }
