"""The merge on a GPU, where each call costs time: one step for all instances.

The pixels of all boxes stand one after the other in vectors: the cost is that of the boxes' area,
whatever their number. No step asks the device for anything, and the vectors have one of a few
lengths, so that a CUDA graph can hold all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.cuda_graphs import GraphCache
from panoptic_ros.fusion.merge import Candidates, FusionOptions
from panoptic_ros.labels import UNLABELED, LabelSet
from panoptic_ros.networks.panoptic_head import HeadKernels
from panoptic_ros.prediction import (
    MaskCrop,
    NonFinitePrediction,
    PanopticPrediction,
    Segment,
    SemanticPrediction,
    all_finite,
)
from panoptic_ros.upsampling import Box, argmax_upsampled, upsampled

# Rounds before anybody looks whether they were enough: they are but where a covered instance frees
# one that covers the next, and so on.
ROUNDS = 4
# Room for boxes and for their pixels; it doubles until it is enough.
LEAST_BOXES, LEAST_PIXELS = 128, 1 << 15
# Rows of `_table`: the boxes as `BoxPixels` takes them, the detector's masks in them, the values of
# the label image; with a head the boxes with its margin, and which of its CNNs is whose.
_BOXES, _PASTING, _VALUES, _WIDE, _CNNS = slice(0, 5), slice(5, 9), 9, slice(10, 15), 15
_GRAPHS = GraphCache()


@dataclass(frozen=True)
class Form:
    """Tell of a merge what its tensors do not.

    size: (H, W) of the image; room: for the boxes' pixels; dtype: of the label image; vetoes:
    whether the semantic network may drop instances; rounds: see `ROUNDS`.
    """

    size: tuple[int, int]
    room: int
    dtype: torch.dtype
    vetoes: bool
    rounds: int = ROUNDS


class BoxPixels:
    """Hold the pixels of N boxes one after the other, box after box and row after row.

    table: int64 [5, N + 1] on the device, see `box_table`; room: how many pixels there are, A.
    Those behind the last box's are nobody's, number N, at the place (0, 0).
    owner: int64 [A], number of the box; row, column, x, y: int64 [A], place in it and in the image;
    is_owned: bool [A].
    """

    def __init__(self, table: Tensor, room: int) -> None:
        self.table, self._ends = table, table[4]
        number = torch.arange(room, device=table.device)
        self.owner = torch.searchsorted(self._ends[:-1].contiguous(), number, right=True)
        self.is_owned = self.owner < table.shape[1] - 1
        left, top, width, start = table[:4, self.owner]
        within = (number - start) * self.is_owned
        self.row = torch.div(within, width, rounding_mode="floor")
        self.column = within - self.row * width
        self.x, self.y = left + self.column, top + self.row

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of values [A] over each box, [N + 1]; exact for bool and integers."""
        kind = torch.float64 if values.is_floating_point() else torch.int64
        running = F.pad(values.cumsum(0, dtype=kind), (1, 0))
        return running[self._ends] - running[self.table[3]]


def box_table(boxes: Sequence[Box], most: int) -> np.ndarray:
    """Return left, top, width, first pixel and the one behind the last of boxes, int64 [5, N + 1].

    boxes: (x0, y0, x1, y1); most: N, as many boxes as there is room for.
    """
    table = np.zeros((5, most + 1), np.int64)
    # Nobody's column divides, too.
    table[2] = 1
    if count := len(boxes):
        x0, y0, x1, y1 = np.array(boxes, np.int64).T
        ends = np.cumsum((x1 - x0) * (y1 - y0))
        table[:, :count] = x0, y0, np.maximum(x1 - x0, 1), np.append(0, ends[:-1]), ends
        table[3:, count:] = ends[-1]
    return table


@torch.inference_mode()
def merge_on_device(
    semantic: SemanticPrediction,
    candidates: Candidates,
    boxes: Sequence[Box],
    options: FusionOptions,
    head: HeadKernels | None = None,
) -> PanopticPrediction:
    """Lay the candidates on the stuff by the rules of `merge.merge`.

    boxes: the pixels that each one's mask may hold; head: refines the detector's masks.
    Raise NonFinitePrediction where the head answers with NaN or infinity.
    """
    form, inputs = _prepared(semantic, candidates, boxes, options, head)
    found = _GRAPHS.run(form, partial(_masks_and_labels, form), inputs)
    labels, extents, (is_final, is_finite) = _on_host(found[1:])
    if not is_finite:
        raise NonFinitePrediction("the panoptic head gives values that are not finite")
    if not is_final:
        exhaustive = replace(form, rounds=len(candidates) + 1)
        labels, extents, _ = _on_host(_masks_and_labels(exhaustive, *inputs)[1:])
    segments = _segments(extents, candidates, semantic.labels, options)
    masks = [MaskCrop(*each) for each in zip(boxes, _crops(boxes, found[0]), strict=True)]
    return PanopticPrediction(labels, segments, masks)


@torch.inference_mode()
def values_on_device(
    semantic: SemanticPrediction,
    candidates: Candidates,
    boxes: Sequence[Box],
    head: HeadKernels | None = None,
) -> list[Tensor]:
    """Return what is compared with the mask's threshold in each box, float [y1 - y0, x1 - x0].

    Probabilities of the detector, logits of the head.
    """
    form, inputs = _prepared(semantic, candidates, boxes, FusionOptions(), head)
    scores, masks, table, _, _, *own = inputs
    whole = upsampled(scores.float(), form.size) if own else None
    chances = None if whole is None else whole.softmax(0)[: len(semantic.labels)]
    pixels = BoxPixels(table[_BOXES].long(), form.room)
    return _crops(boxes, _values(form, chances, masks, table, pixels, *own))


def masks_on_device(
    semantic: SemanticPrediction,
    candidates: Candidates,
    boxes: Sequence[Box],
    options: FusionOptions,
    head: HeadKernels | None = None,
) -> list[MaskCrop]:
    """Return each candidate's mask in its box, bool: what `merge_on_device` lays."""
    least = _least_value(options, head)
    values = values_on_device(semantic, candidates, boxes, head)
    return [MaskCrop(box, each >= least) for box, each in zip(boxes, values, strict=True)]


def _prepared(
    semantic: SemanticPrediction,
    candidates: Candidates,
    boxes: Sequence[Box],
    options: FusionOptions,
    head: HeadKernels | None,
) -> tuple[Form, list[Tensor]]:
    """Return the form of a merge, and the tensors that `_masks_and_labels` takes."""
    most = _doubled(LEAST_BOXES, len(candidates))
    table = _table(candidates, boxes, most, head)
    form = Form(
        semantic.image_size,
        _doubled(LEAST_PIXELS, int(table[_WIDE][-1, -1])),
        getattr(torch, semantic.labels.dtype.name),
        options.semantic_veto < 1,
    )
    found = candidates.masks
    masks = torch.cat([found, found.new_zeros(most + 1 - len(found), *found.shape[1:])])
    device = semantic.scores.device
    own = () if head is None else (head.kernels, head.bias)
    tables = (table, _limits(options, head), _stuff(semantic, options))
    rows = [torch.from_numpy(each).to(device, non_blocking=True) for each in tables]
    return form, [semantic.scores, masks, *rows, *own]


def _least_value(options: FusionOptions, head: HeadKernels | None) -> float:
    """Return from which value on a mask holds a pixel: a probability, or the head's logit."""
    return options.mask_threshold if head is None else options.mask_logit


def _doubled(room: int, count: int) -> int:
    """Return the room, doubled until it holds a number."""
    return max(room, 1 << (count - 1).bit_length()) if count else room


def _table(
    candidates: Candidates, boxes: Sequence[Box], most: int, head: HeadKernels | None
) -> np.ndarray:
    """Return the rows that are named above, of each candidate and nobody: float64 [16, N + 1]."""
    count = len(candidates)
    # How many pixels around a box count for the masks in it.
    margin = 0 if head is None else head.radius
    wide = [(x0 - margin, y0 - margin, x1 + margin, y1 + margin) for x0, y0, x1, y1 in boxes]
    table = np.zeros((16, most + 1))
    table[_BOXES], table[_WIDE] = box_table(boxes, most), box_table(wide, most)
    sides = np.maximum(candidates.boxes[:, 2:] - candidates.boxes[:, :2], 1e-6)
    corners = np.array(wide, np.float64).reshape(-1, 4)[:, :2]
    # Relative to the box, single precision is enough.
    table[_PASTING, :count] = np.concatenate(
        [corners + 0.5 - candidates.boxes[:, :2], candidates.masks.shape[1] / sides], axis=1
    ).T
    table[_VALUES, :count] = candidates.values
    if head is not None:
        table[_CNNS, :count] = [head.number(class_id) for class_id in candidates.class_ids.tolist()]
    return table


def _limits(options: FusionOptions, head: HeadKernels | None) -> np.ndarray:
    """Return the mask's least value, most covered share, most stuff, least area of stuff."""
    least = _least_value(options, head)
    limits = [least, options.overlap_threshold, options.semantic_veto, options.stuff_area_limit]
    return np.array(limits, np.float64)


def _stuff(semantic: SemanticPrediction, options: FusionOptions) -> np.ndarray:
    """Return whether a channel is stuff, and its label id or 0, int32 [2, C + 1]; last is none."""
    classes = semantic.labels.classes
    is_stuff = [not c.is_thing for c in classes]
    ids = [c.id if not c.is_thing and options.keeps(c.id) else UNLABELED for c in classes]
    return np.array([[*is_stuff, False], [*ids, UNLABELED]], np.int32)


def _masks_and_labels(
    form: Form,
    scores: Tensor,
    masks: Tensor,
    table: Tensor,
    limits: Tensor,
    stuff: Tensor,
    *head: Tensor,
) -> tuple[Tensor, ...]:
    """Return masks, labels, extents and whether these are final and the head's answer is finite.

    scores: float [C', H', W']; masks: float [N + 1, M, M]; head: kernels and biases of its CNNs.
    held: bool [A]; labels: [H, W]; extents: int64 [N + C + 1, 5], see `_extents`; bool [2].
    """
    pixels = BoxPixels(table[_BOXES].long(), form.room)
    whole = upsampled(scores.float(), form.size) if head or form.vetoes else None
    chances = None if whole is None else whole.softmax(0)[: stuff.shape[1] - 1]
    values = _values(form, chances, masks, table, pixels, *head)
    held = (values >= limits[0]) & pixels.is_owned
    first, is_final = _first(form, chances, held, pixels, limits, stuff[0])
    best = argmax_upsampled(scores if whole is None else whole, form.size)
    labels, extents = _labels(form, best, first, table[_VALUES], limits, stuff[1])
    return held, labels, extents, torch.stack([is_final, all_finite([values])])


def _values(
    form: Form,
    chances: Tensor | None,
    masks: Tensor,
    table: Tensor,
    pixels: BoxPixels,
    *head: Tensor,
) -> Tensor:
    """Return the masks at the boxes' pixels, float [A], as `values_on_device` says.

    chances: float [C, H, W], of each class, where there is a head.
    """
    pasting = table[_PASTING].float()
    if chances is None or not head:
        return paste_all(pixels, pasting, masks)
    around = BoxPixels(table[_WIDE].long(), form.room)
    inside = (around.x >= 0) & (around.x < form.size[1])
    inside &= (around.y >= 0) & (around.y < form.size[0])
    own = paste_all(around, pasting, masks).float() * inside
    return _head_logits(chances, own, pixels, around, table[_CNNS].long(), *head)


def paste_all(pixels: BoxPixels, pasting: Tensor, masks: Tensor) -> Tensor:
    """Return what `masks.paste` gives for each box at its pixels, float [A].

    pasting: float32 [4, N + 1], x and y from the mask's corner to the centre of the box's first
    pixel, and the mask's bins in a pixel; masks: float [N + 1, M, M].
    """
    # A border of zeros, to which everything beyond the mask fades.
    padded, side = F.pad(masks, (1, 1, 1, 1)).flatten(), masks.shape[1] + 2
    offset_x, offset_y, scale_x, scale_y = pasting[:, pixels.owner]
    x = ((pixels.column + offset_x) * scale_x + 0.5).clamp(0, side - 1)
    y = ((pixels.row + offset_y) * scale_y + 0.5).clamp(0, side - 1)
    column, row = x.long().clamp(max=side - 2), y.long().clamp(max=side - 2)
    right, down = (x - column).to(masks.dtype), (y - row).to(masks.dtype)
    corner = (pixels.owner * side + row) * side + column
    above = torch.lerp(padded[corner], padded[corner + 1], right)
    below = torch.lerp(padded[corner + side], padded[corner + side + 1], right)
    return torch.lerp(above, below, down)


def _head_logits(
    chances: Tensor,
    own: Tensor,
    pixels: BoxPixels,
    around: BoxPixels,
    cnns: Tensor,
    kernels: Tensor,
    bias: Tensor,
) -> Tensor:
    """Return the head's logits at the boxes' pixels, float [A]: what `conv_head.refine` gives.

    own: float [A], the detector's masks in the boxes with their margins; cnns: int64 [N + 1].
    """
    seen = F.pad(chances, [kernels.shape[2] // 2] * 4)[None]
    context = F.conv2d(seen, kernels[:, 1:], bias)[0]
    cnn, width = cnns[pixels.owner], around.table[2, pixels.owner]
    logits = context[cnn, pixels.y, pixels.x]
    # The first place that a kernel sees is as far into the box with a margin as its own is into
    # the box without.
    first = around.table[3, pixels.owner] + pixels.row * width + pixels.column
    first = first * pixels.is_owned
    right = torch.arange(kernels.shape[3], device=own.device)
    # A row of the kernels at a time: all at once would take a row's memory many times.
    for y, row in enumerate(kernels[:, 0].unbind(1)):
        places = (first + y * width)[:, None] + right
        logits = logits + (row[cnn] * own[places]).sum(1)
    return logits


def _first(
    form: Form,
    chances: Tensor | None,
    held: Tensor,
    pixels: BoxPixels,
    limits: Tensor,
    is_stuff: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the best instance that holds a pixel and stays, int64 [H * W], N where there is none.

    And whether that is final, bool []; N + 1 rounds always are. Whether an instance stays depends
    on better ones alone. Each round decides all of them from the decisions of the round before:
    after n rounds the first n are right, and what a round leaves as it was is right altogether.
    """
    height, width = form.size
    nobody = pixels.table.shape[1] - 1
    # Nobody's pixels change nothing, but would all wait for each other at the same place.
    spread = torch.arange(form.room, device=held.device) % (height * width)
    place = torch.where(pixels.is_owned, pixels.y * width + pixels.x, spread)
    areas = pixels.sums(held)
    allowed = areas >= 0
    if form.vetoes and chances is not None:
        seen = (chances * is_stuff[:-1, None, None]).sum(0).flatten()
        allowed = pixels.sums(seen[place] * held) <= limits[2] * areas

    def first_of(kept: Tensor) -> Tensor:
        owner = torch.where(held & kept[pixels.owner], pixels.owner, nobody)
        best = torch.full((height * width,), nobody, device=held.device)
        return best.scatter_reduce_(0, place, owner, "amin")

    kept = before = allowed
    for _ in range(form.rounds):
        before = kept
        covered = pixels.sums(held & (first_of(kept)[place] < pixels.owner))
        kept = allowed & (covered <= limits[1] * areas)
    return first_of(kept), (kept == before).all()


def _labels(
    form: Form, best: Tensor, first: Tensor, values: Tensor, limits: Tensor, ids: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the label image [H, W] and what `_extents` says of instances and channels in it.

    best: uint8 [H, W], the best channel; first: int64 [H * W], as `_first` gives it; values:
    [N + 1]; ids: int32 [C + 1].
    """
    nobody = len(values) - 1
    channels = best.flatten().long()
    segment = torch.where(first < nobody, first, channels + nobody)
    extents = _extents(segment.view(form.size), nobody + len(ids))
    large = extents[nobody:, 0] >= limits[3]
    table = torch.cat([values[:-1].int(), ids * large])
    return table[segment].view(form.size).to(form.dtype), extents


def _extents(segment: Tensor, count: int) -> Tensor:
    """Return area, left, top, right and bottom (exclusive) of segments, int64 [count, 5].

    segment: int64 [H, W], a number below count. Of one without a pixel only the area counts.
    """
    height, width = segment.shape
    # Exact beyond 2^24 pixels; bincount would ask the device how many bins there are.
    areas = torch.histc(segment.double(), bins=count, min=-0.5, max=count - 0.5)
    ends = []
    column = torch.arange(width, device=segment.device)
    row = torch.arange(height, device=segment.device)[:, None]
    for length, along in ((width, column), (height, row)):
        holds = torch.zeros(count * length, dtype=torch.uint8, device=segment.device)
        holds = holds.scatter_(0, (segment * length + along).flatten(), 1).view(count, length)
        # The first of equal values is what argmax gives.
        ends.append((holds.argmax(1), length - holds.flip(1).argmax(1)))
    (left, right), (top, bottom) = ends
    return torch.stack([areas.long(), left, top, right, bottom], dim=1)


def _on_host(found: Sequence[Tensor]) -> list[np.ndarray]:
    """Return tensors in host memory; the device is waited for once."""
    if found[0].device.type != "cuda":
        return [each.numpy() for each in found]
    copies = [torch.empty_like(each, device="cpu", pin_memory=True) for each in found]
    for copy, each in zip(copies, found, strict=True):
        copy.copy_(each, non_blocking=True)
    torch.cuda.current_stream(found[0].device).synchronize()
    return [copy.numpy() for copy in copies]


def _segments(
    extents: np.ndarray, candidates: Candidates, labels: LabelSet, options: FusionOptions
) -> list[Segment]:
    """Describe what is in the label image: things by falling score, then stuff."""
    rows = extents.tolist()
    values, class_ids, scores = (
        each.tolist() for each in (candidates.values, candidates.class_ids, candidates.scores)
    )
    found = [
        Segment(value, class_id, True, score, area, (left, top, right, bottom))
        for value, class_id, score, (area, left, top, right, bottom) in zip(
            values, class_ids, scores, rows, strict=False
        )
        if area
    ]
    for label, (area, *box) in zip(labels.classes, rows[-len(labels) - 1 :], strict=False):
        is_there = area >= max(options.stuff_area_limit, 1)
        if is_there and not label.is_thing and options.keeps(label.id):
            found.append(Segment(label.id, label.id, False, 1.0, area, tuple(box)))
    return found


def _crops(boxes: Sequence[Box], values: Tensor) -> list[Tensor]:
    """Return the boxes' pixels, which stand one after the other, [y1 - y0, x1 - x0] each."""
    shapes = [(y1 - y0, x1 - x0) for x0, y0, x1, y1 in boxes]
    areas = [height * width for height, width in shapes]
    *parts, _ = values.split([*areas, len(values) - sum(areas)])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
