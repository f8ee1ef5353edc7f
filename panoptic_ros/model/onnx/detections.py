"""A detector's outputs as detections: those that it chose, or a choice among all it proposes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_convert, roi_align

from panoptic_ros.model.onnx.description import InstanceOutput, RawOutput
from panoptic_ros.model.onnx.placement import Placement

_log = logging.getLogger(__name__)
MASK_SIZE = 28
# How far rounding takes a probability beyond 0 or 1.
_ROUNDING = 1e-2


@dataclass(frozen=True)
class Detections:
    """Hold detections in a network's input, inside the image that lies there.

    boxes: float [N, 4], xyxy, pixels of the input; labels: int64 [N], index into the classes;
    scores: float [N]; masks: of the detections at some indices, [n, M, M], probabilities in
    their boxes' frames.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Callable[[Tensor], Tensor]


def given(
    found: list[Tensor], output: InstanceOutput, class_ids: Tensor, placement: Placement
) -> Detections:
    """Return the detections of a network that chooses its own, those of class id 0 left out.

    found: the outputs that `InstanceOutput` names; class_ids: int64 [C], label id of each index.
    Raise ValueError where they do not fit each other.
    """
    boxes, labels, scores, masks = found
    boxes = boxes[0] if boxes.ndim == 3 and len(boxes) == 1 else boxes
    n = len(boxes)
    labels, scores = labels.reshape(-1).long(), scores.reshape(-1).float()
    if masks.ndim > 2 and masks.numel() == n * masks.shape[-2] * masks.shape[-1]:
        masks = masks.reshape(n, *masks.shape[-2:])
    if boxes.shape != (n, 4) or len(labels) != n or len(scores) != n or masks.ndim != 3:
        raise ValueError("boxes, labels, scores and masks do not fit each other")
    boxes, masks = boxes.float(), masks.float()
    inside = placement.clip(boxes)
    is_ours = (labels >= 0) & (labels < len(class_ids))
    is_ours &= (class_ids[labels.clamp(0, len(class_ids) - 1)] > 0) & _has_area(inside)
    boxes, inside, masks = boxes[is_ours], inside[is_ours], masks[is_ours]

    def masks_of(index: Tensor) -> Tensor:
        if output.mask_frame == "image":
            return _crop(masks[index], inside[index], placement.canvas, MASK_SIZE)
        if torch.equal(boxes[index], inside[index]):
            return masks[index]
        return _of_part(masks[index], boxes[index], inside[index])

    return Detections(inside, labels[is_ours], scores[is_ours], masks_of)


def raw(
    found: list[Tensor], output: RawOutput, class_ids: Tensor, placement: Placement
) -> Detections:
    """Return the best of all that a network proposes, those of class id 0 left out.

    found, class_ids: as for `given`, of `RawOutput`. An anchor has the class of its highest
    score; of overlapping anchors of a class the best stays (NMS).
    Source: Bolya et al. 2019, "YOLACT", section 3; the layout is that of YOLOv5's and its
    successors' segmentation exports. Raise ValueError where the outputs do not fit.
    """
    boxes, scores, coefficients, prototypes = _split(found, len(class_ids), output)
    if output.relative:
        boxes = boxes * boxes.new_tensor(placement.canvas[::-1]).repeat(2)
    boxes = placement.clip(box_convert(boxes, output.box_format, "xyxy"))
    scores, labels = scores.max(1)
    (kept,) = torch.where(
        (scores >= output.score_threshold) & (class_ids[labels] > 0) & _has_area(boxes)
    )
    chosen = batched_nms(boxes[kept], scores[kept], labels[kept], output.iou_threshold)
    kept = kept[chosen[: output.detections]]
    boxes, coefficients = boxes[kept], coefficients[kept]

    def masks_of(index: Tensor) -> Tensor:
        logits = torch.einsum("nk,khw->nhw", coefficients[index], prototypes)
        return _crop(logits, boxes[index], placement.canvas, MASK_SIZE).sigmoid()

    return Detections(boxes, labels[kept], scores[kept], masks_of)


def check_given(found: list[Tensor]) -> None:
    """Raise ValueError where scores or masks, as for `given`, are no probabilities."""
    _, _, scores, masks = found
    require_probabilities(scores, "scores", "let the graph end in their sigmoid")
    require_probabilities(masks, "masks", "let the graph end in their sigmoid")


def check_raw(found: list[Tensor], output: RawOutput, classes: int, where: str) -> None:
    """Warn where outputs, as for `raw`, may be other ones than their description says.

    where: the file, for the warning. Raise ValueError for scores that are no probabilities.
    """
    *parts, _ = found
    _, scores, coefficients, _ = _split(found, classes, replace(output, sigmoid=False))
    known = len(scores) * (4 + classes + coefficients.shape[1])
    if len(parts) == 1 and output.objectness is None and parts[0].numel() > known:
        _log.warning(
            "%s gives one value more per box than %d classes have: it is taken for an "
            "objectness; write objectness: true, or name the class that is missing",
            *(where, classes),
        )
    if not output.sigmoid:
        require_probabilities(scores, "scores", "write sigmoid: true")
    elif scores.numel() and bool(((scores >= 0) & (scores <= 1)).all()):
        _log.warning(
            "%s seems to give probabilities, taken for logits: leave out sigmoid: true", where
        )


def require_probabilities(values: Tensor, what: str, advice: str) -> None:
    """Raise ValueError for values beyond 0..1; what is not finite is for each frame to tell.

    what, advice: what they are and what to do, for the error.
    """
    values = values[values.isfinite()].float()
    if not values.numel():
        return
    least, largest = float(values.min()), float(values.max())
    if least < -_ROUNDING or largest > 1 + _ROUNDING:
        raise ValueError(
            f"{what} of {least:.3g}..{largest:.3g} are no probabilities, 0..1: {advice}"
        )


def _split(
    found: list[Tensor], classes: int, output: RawOutput
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return boxes [A, 4], scores [A, C], coefficients [A, K] and prototypes [K, h, w]."""
    *parts, prototypes = (_without_batch(t.float(), 3 if t is found[-1] else 2) for t in found)
    count = len(prototypes)
    if len(parts) == 3:
        boxes, scores, coefficients = parts
        objectness = None
        if [p.shape[1] for p in parts] != [4, classes, count] or len({len(p) for p in parts}) > 1:
            raise ValueError(f"needed are [A, 4], [A, {classes}], [A, {count}], [{count}, h, w]")
    else:
        (table,) = parts
        needed = 4 + classes + count
        extra = (0, 1) if output.objectness is None else (int(output.objectness),)
        # Anchors along the last axis, as YOLOv8 gives them.
        table = table if table.shape[1] - needed in extra else table.T
        if table.shape[1] - needed not in extra:
            more = {(0, 1): " (or one more, the objectness)", (1,): " and an objectness", (0,): ""}
            raise ValueError(
                f"no axis of the predictions has the {needed + extra[0]} values of a box, "
                f"{classes} classes and {count} coefficients{more[extra]}"
            )
        widths = [4, table.shape[1] - needed, classes, count]
        boxes, objectness, scores, coefficients = table.split(widths, 1)
    if output.sigmoid:
        scores = scores.sigmoid()
        objectness = None if objectness is None else objectness.sigmoid()
    if objectness is not None and objectness.shape[1]:
        scores = scores * objectness
    return boxes, scores, coefficients, prototypes


def _without_batch(output: Tensor, axes: int) -> Tensor:
    output = output[0] if output.ndim == axes + 1 and len(output) == 1 else output
    if output.ndim != axes:
        raise ValueError(f"an output has shape {list(output.shape)}, needed are {axes} axes")
    return output


def _has_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] > boxes[:, :2]).all(1)


def _crop(masks: Tensor, boxes: Tensor, canvas: tuple[int, int], side: int) -> Tensor:
    """Return masks of the whole canvas, [N, h, w], in their boxes' frames, [N, side, side]."""
    if not len(masks):
        return masks.new_zeros(0, side, side)
    # A network may give its masks smaller than its input.
    scale = boxes.new_tensor([masks.shape[2] / canvas[1], masks.shape[1] / canvas[0]]).repeat(2)
    return roi_align(masks[:, None], list((boxes * scale)[:, None]), side, aligned=True)[:, 0]


def _of_part(masks: Tensor, boxes: Tensor, parts: Tensor) -> Tensor:
    """Return masks in their boxes' frames, [N, M, M], in the frames of parts of the boxes."""
    sizes = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    side = masks.shape[-1]
    regions = (parts - boxes[:, :2].repeat(1, 2)) / sizes * side
    return roi_align(masks[:, None], list(regions[:, None]), side, aligned=True)[:, 0]
