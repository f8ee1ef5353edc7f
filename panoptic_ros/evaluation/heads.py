"""The heuristic against the Convolutional Panoptic Head, on frames with ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.evaluation.console_tables import table
from panoptic_ros.fusion.candidates import select
from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.merge import merge
from panoptic_ros.fusion.stack import detector_masks
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.instance_iou import InstanceIoU
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments

HEURISTIC, HEAD = "heuristic", "head"


@dataclass
class HeadComparison:
    """Hold the scores of both strategies; broken: one line per frame that was skipped."""

    instances: InstanceIoU
    quality: dict[str, PanopticQuality]
    semantic: ConfusionMatrix
    broken: list[str] = field(default_factory=list)

    def results(self) -> dict[str, Any]:
        """Return quality in percent, None where nothing was seen.

        {"classes": {name: {"heuristic", "head", "instances"}}, "mean": the same over the
        classes with instances, "pq": {"heuristic", "head"}, "miou"}.
        """
        means = {name: self.instances.means(name) for name in (HEURISTIC, HEAD)}
        counts = self.instances.instances
        return {
            "classes": {
                c.name: {name: _percent(m[i]) for name, m in means.items()}
                | {"instances": int(counts[i])}
                for i, c in enumerate(self.instances.classes)
            },
            "mean": {
                name: _percent(m[counts > 0].mean() if counts.any() else math.nan)
                for name, m in means.items()
            }
            | {"instances": int(counts.sum())},
            "pq": {name: _percent(q.results()["all"]["pq"]) for name, q in self.quality.items()},
            "miou": _percent(self.semantic.mean_iou()),
        }


def compare_heads(pipeline: PanopticPipeline, samples: Sequence[Sample]) -> HeadComparison:
    """Run the networks once per frame, merge with the heuristic and with the head, score both.

    A frame that cannot be read is skipped and named. Raise ValueError where the model has
    no head.
    """
    if pipeline.head is None:
        raise ValueError(f"model {pipeline.name!r} has no panoptic head to compare")
    labels = pipeline.labels
    names = (HEURISTIC, HEAD)
    comparison = HeadComparison(
        InstanceIoU(labels, names),
        {name: PanopticQuality.of(labels) for name in names},
        ConfusionMatrix(labels),
    )
    for sample in tqdm(samples, "evaluating", unit="frame"):
        try:
            image, truth = _read(sample)
        except (OSError, ValueError) as error:
            comparison.broken.append(str(error))
            continue
        _add_frame(comparison, pipeline, image, truth)
    return comparison


def _read(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    image, truth = sample.load_image(), sample.load_instance_ids()
    if truth.shape != image.shape[:2]:
        raise ValueError(
            f"{sample.image} has the shape {list(image.shape)}, "
            f"{sample.instance_ids} {list(truth.shape)}"
        )
    return image, truth


@torch.inference_mode()
def _add_frame(
    comparison: HeadComparison, pipeline: PanopticPipeline, image: np.ndarray, truth: np.ndarray
) -> None:
    options, labels = pipeline.options, pipeline.labels
    frame = pipeline.semantic.upload(image)
    semantic, instances = pipeline.semantic(frame), pipeline.instances(frame)
    candidates = select(semantic, instances, options)
    masks = {
        HEURISTIC: detector_masks(semantic, candidates, options),
        HEAD: ConvHead(pipeline.head).masks(semantic, candidates, options),
    }
    comparison.instances.add(truth, candidates, masks)
    comparison.semantic.add(truth, labels.ids[semantic.channels.cpu().numpy()])
    for name, crops in masks.items():
        panoptic = merge(semantic, candidates, crops, options)
        comparison.quality[name].add(*label_image_segments(truth, panoptic.labels, labels))


def head_table(results: dict[str, Any]) -> str:
    """Return `HeadComparison.results` as text, in the form of the report's Table 1."""
    rows = [
        [name, _number(row[HEURISTIC]), _number(row[HEAD]), str(row["instances"])]
        for name, row in [*results["classes"].items(), ("mean", results["mean"])]
    ]
    pq = results["pq"]
    return "\n".join(
        [
            table(["IoU of instances, %", HEURISTIC, HEAD, "instances"], rows),
            "",
            table(["", HEURISTIC, HEAD], [["PQ, %", _number(pq[HEURISTIC]), _number(pq[HEAD])]]),
            f"semantic mIoU, %: {_number(results['miou'])}",
        ]
    )


def _percent(fraction: float) -> float | None:
    return None if math.isnan(fraction) else 100 * float(fraction)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
