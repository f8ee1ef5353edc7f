"""What one frame adds to every score, in numbers that a file can keep."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.merge import select
from panoptic_ros.fusion.stack import detector_masks
from panoptic_ros.labels import UNLABELED, LabelSet, class_ids
from panoptic_ros.pipeline import Inference, PanopticResult
from panoptic_ros.prediction import (
    InstancePrediction,
    PanopticPrediction,
    SemanticPrediction,
    on_host,
)
from panoptic_ros.scores.boundaries import boundary_overlaps
from panoptic_ros.scores.calibration import Calibration
from panoptic_ros.scores.cityscapes_ap import cityscapes_matches
from panoptic_ros.scores.cityscapes_iou import WeightedInstances
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.instance_iou import InstanceIoU
from panoptic_ros.scores.mask_ap import MaskFrame, TrueMasks, coco_matches, true_masks
from panoptic_ros.scores.mask_codes import code_of_crop, codes_of_labels
from panoptic_ros.scores.overlaps import overlaps
from panoptic_ros.scores.panoptic_quality import MATCH_IOU, SegmentMatches
from panoptic_ros.scores.quality_variants import QualityVariants, thing_distances
from panoptic_ros.scores.segments import Segments, label_image_segments

# Of `coco_matches` and of `cityscapes_matches`, by these names.
MaskMatches: TypeAlias = dict[str, dict[str, list[Any]]]


@dataclass(frozen=True)
class FusionScores:
    """Hold what one strategy's label image of one frame adds.

    iou, tp, fp, fn: of `PanopticQuality`, per class; confusion: of `ConfusionMatrix`;
    instance_iou: sums of `InstanceIoU`, per thing class; masks: `MaskMatches`; weighted: of
    `WeightedInstances`; variants: of `QualityVariants`; calibration: of `Calibration`, over the
    things that are right or wrong.
    """

    iou: list[float]
    tp: list[int]
    fp: list[int]
    fn: list[int]
    confusion: list[list[int]]
    instance_iou: list[float]
    masks: MaskMatches
    weighted: list[list[float]]
    variants: dict[str, Any]
    calibration: list[list[float]]


@dataclass(frozen=True)
class FrameScores:
    """Hold what one frame adds to every score; plain numbers, lists and mappings.

    milliseconds: stage -> time; peak_mib: most memory of the process so far (`timing`);
    confusion, weighted, calibration, masks: of the two networks alone, calibration of the
    pixels' confidence; instances: matched by `InstanceIoU`, per thing class; fusion: strategy ->
    its scores.
    """

    name: str
    milliseconds: dict[str, float]
    peak_mib: dict[str, float | None]
    confusion: list[list[int]]
    weighted: list[list[float]]
    calibration: list[list[float]]
    masks: MaskMatches
    instances: list[int]
    fusion: dict[str, FusionScores]

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold, as small as it gets; `from_json` takes it back."""
        content = json.dumps(asdict(self), separators=(",", ":")).encode()
        return {"name": self.name, "zlib": b64encode(zlib.compress(content, 9)).decode("ascii")}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FrameScores:
        """Raise TypeError, KeyError or ValueError for what `to_json` did not give."""
        try:
            fields = json.loads(zlib.decompress(b64decode(content["zlib"])))
        except zlib.error as error:
            raise ValueError(f"scores of a frame that do not unfold: {error}") from error
        fusion = {n: FusionScores(**f) for n, f in fields["fusion"].items()}
        return cls(**{**fields, "fusion": fusion})


class FrameScorer:
    """Score one frame after the other, each on its own.

    labels: the truth's and the prediction's classes; options: those that the frames were
    merged with; boundaries: whether boundary PQ is wanted, which takes long.
    """

    def __init__(self, labels: LabelSet, options: FusionOptions, boundaries: bool = False) -> None:
        self.labels = labels
        self._options = options
        self._has_boundaries = boundaries

    @torch.inference_mode()
    def __call__(
        self,
        name: str,
        truth: np.ndarray,
        inference: Inference | PanopticResult,
        merged: Mapping[str, PanopticPrediction],
        milliseconds: Mapping[str, float],
        peak_mib: Mapping[str, float | None],
        depth: np.ndarray | None = None,
    ) -> FrameScores:
        """Return the scores of a frame.

        truth: integer [H, W], class_id for stuff and groups, class_id * 1000 + n for things;
        inference: what the networks gave; merged: strategy -> what it made of that;
        depth: float32 [H, W], metres along the optical axis, 0 where there is none.
        """
        semantic = inference.semantic
        classes = semantic.class_map()
        pairs = overlaps(truth, classes)
        confusion, weighted = ConfusionMatrix(self.labels), WeightedInstances(self.labels)
        confusion.add_overlaps(pairs)
        weighted.add_overlaps(pairs)
        calibration = Calibration()
        true_classes = class_ids(truth)
        known = np.isin(true_classes, self.labels.ids)
        calibration.add_map(semantic.confidence_map(), classes == true_classes, known)
        matched = self._instance_iou(truth, semantic, inference.instances, merged)
        true = true_masks(truth, self.labels)
        return FrameScores(
            name=name,
            milliseconds=dict(milliseconds),
            peak_mib=dict(peak_mib),
            confusion=confusion.counts.tolist(),
            weighted=weighted.counts.tolist(),
            calibration=calibration.counts.tolist(),
            masks=self._matches(true, self._detections(semantic, inference.instances)),
            instances=matched.instances.tolist(),
            fusion={
                strategy: self._fusion(truth, true, panoptic, matched.sums.get(strategy), depth)
                for strategy, panoptic in merged.items()
            },
        )

    def _instance_iou(
        self,
        truth: np.ndarray,
        semantic: SemanticPrediction,
        instances: InstancePrediction,
        merged: Mapping[str, PanopticPrediction],
    ) -> InstanceIoU:
        """Compare the masks that the strategies made before they let them compete."""
        masks = {s: on_host(p.masks) for s, p in merged.items() if p.masks is not None}
        scores = InstanceIoU(self.labels, list(masks))
        candidates = select(semantic, instances, self._options)
        detected = on_host(detector_masks(semantic, candidates, self._options))
        scores.add(truth, candidates.class_ids.tolist(), detected, masks)
        return scores

    def _matches(self, truth: TrueMasks, detections: Sequence[Sequence[Any]]) -> MaskMatches:
        frame = MaskFrame(truth, detections)
        return {
            "coco": coco_matches(frame, self.labels),
            "cityscapes": cityscapes_matches(frame, self.labels),
        }

    def _detections(
        self, semantic: SemanticPrediction, instances: InstancePrediction
    ) -> list[list[Any]]:
        """Return all that the detector found, whatever the merge would leave of it."""
        options = replace(self._options, score_threshold=0.0, class_limits={})
        candidates = select(semantic, instances, options)
        found = on_host(detector_masks(semantic, candidates, options))
        return [
            [int(class_id), float(score), code_of_crop(mask, box, semantic.image_size)]
            for class_id, score, (box, mask) in zip(
                candidates.class_ids, candidates.scores, found, strict=True
            )
        ]

    def _fusion(
        self,
        truth: np.ndarray,
        true_things: TrueMasks,
        panoptic: PanopticPrediction,
        sums: np.ndarray | None,
        depth: np.ndarray | None,
    ) -> FusionScores:
        pairs, true, predicted = label_image_segments(truth, panoptic.labels, self.labels)
        variants = QualityVariants(self.labels)
        edges = distances = None
        if self._has_boundaries:
            is_scored = np.isin(class_ids(truth), self.labels.ids)
            edges = boundary_overlaps(np.where(is_scored, truth, UNLABELED), panoptic.labels)
        if depth is not None:
            sides = (truth, true), (panoptic.labels, predicted)
            true_ones, ours = (thing_distances(*side, depth, self.labels) for side in sides)
            distances = true_ones, ours
        matches = variants.add_image(pairs, true, predicted, edges, distances)
        quality = variants.quality
        confusion, weighted = ConfusionMatrix(self.labels), WeightedInstances(self.labels)
        confusion.add_overlaps(pairs)
        weighted.add_overlaps(pairs)
        things = [s for s in panoptic.segments if s.is_thing]
        codes = codes_of_labels(panoptic.labels, [s.id for s in things])
        return FusionScores(
            iou=quality.iou.tolist(),
            tp=quality.tp.tolist(),
            fp=quality.fp.tolist(),
            fn=quality.fn.tolist(),
            confusion=confusion.counts.tolist(),
            instance_iou=[] if sums is None else sums.tolist(),
            masks=self._matches(
                true_things, [[s.class_id, float(s.score), codes[s.id]] for s in things]
            ),
            weighted=weighted.counts.tolist(),
            variants=variants.to_json(),
            calibration=_things_calibration(panoptic, predicted, matches).counts.tolist(),
        )


def _things_calibration(
    panoptic: PanopticPrediction, predicted: Segments, matches: SegmentMatches
) -> Calibration:
    """Count the scores of things that match or are false alarms, and none that have an excuse."""
    is_right = np.zeros(len(predicted.ids), bool)
    is_right[matches.columns[matches.iou > MATCH_IOU]] = True
    rank = {segment_id: i for i, segment_id in enumerate(predicted.ids.tolist())}
    rows = [(s.score, rank[s.id]) for s in panoptic.segments if s.is_thing and s.id in rank]
    counted = [(score, i) for score, i in rows if is_right[i] or matches.wrong[i]]
    calibration = Calibration()
    calibration.add(
        np.array([score for score, _ in counted], float),
        np.array([is_right[i] for _, i in counted], bool),
    )
    return calibration
