"""The Convolutional Panoptic Head as a merging strategy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.fusion.merge import Candidates, FusionOptions, NetworkMerge, merge
from panoptic_ros.fusion.on_device import masks_on_device, merge_on_device
from panoptic_ros.networks.panoptic_head import HeadKernels, PanopticHead
from panoptic_ros.prediction import (
    MaskCrop,
    NonFinitePrediction,
    PanopticPrediction,
    SemanticPrediction,
    all_finite,
)
from panoptic_ros.upsampling import Box, box_tuples, paste, pixel_boxes, strips, upsample_crop

# Share of the box's size by which a refined mask may leave the detector's box, each side.
CONTEXT = 0.1


class ConvHead(NetworkMerge):
    """Merge after refining each instance's mask with a PanopticHead.

    Calling it has the signature of every strategy; the merge rules are `fusion.merge.merge`'s. On a
    GPU the head's weights are those of the first call.
    """

    def __init__(self, head: PanopticHead) -> None:
        self.head = head

    def _merged(
        self, semantic: SemanticPrediction, candidates: Candidates, options: FusionOptions
    ) -> PanopticPrediction:
        """Merge both predictions of an image, the instances' masks refined by the head.

        Raise NonFinitePrediction where the head answers with NaN or infinity.
        """
        regions = regions_of(candidates.boxes, semantic.image_size)
        if semantic.logits.device.type != "cpu":
            return merge_on_device(semantic, candidates, regions, options, self._kernels)
        crops, finite = self._refined(semantic, candidates, regions, options)
        panoptic = merge(semantic, candidates, crops, options)
        if not finite:
            raise NonFinitePrediction("the panoptic head gives values that are not finite")
        return panoptic

    @cached_property
    def _kernels(self) -> HeadKernels:
        return self.head.kernels()

    @torch.inference_mode()
    def masks(
        self, semantic: SemanticPrediction, candidates: Candidates, options: FusionOptions
    ) -> list[MaskCrop]:
        """Return each candidate's mask as the head refines it, bool."""
        regions = regions_of(candidates.boxes, semantic.image_size)
        if semantic.logits.device.type != "cpu":
            return masks_on_device(semantic, candidates, regions, options, self._kernels)
        return self._refined(semantic, candidates, regions, options)[0]

    def _refined(
        self,
        semantic: SemanticPrediction,
        candidates: Candidates,
        regions: list[Box],
        options: FusionOptions,
    ) -> tuple[list[MaskCrop], Tensor]:
        """Return the masks, and whether the logits behind them are all finite, bool []."""
        threshold = options.mask_logit
        parts: list[list[Tensor]] = [[] for _ in regions]
        sums = [semantic.logits.new_zeros(())]
        for i, logits in _logits(self.head, semantic, candidates, regions):
            parts[i].append(logits >= threshold)
            sums.append(logits.sum())
        crops = [MaskCrop(box, _joined(part)) for box, part in zip(regions, parts, strict=True)]
        return crops, all_finite(sums)


def refine(
    head: PanopticHead, semantic: SemanticPrediction, candidates: Candidates
) -> list[tuple[Box, Tensor]]:
    """Return each instance's region and the head's logits in it, float [y1 - y0, x1 - x0].

    The factorised form: the head is linear up to its sigmoid, so what the semantic masks
    add is the same for every instance of a class. It is computed once where the instances
    crowd, else in their regions alone; an instance's own mask costs one single-channel
    convolution. Equal to the head over the whole image,
    `benchmarks/reference.head_reference`, cropped to the regions.
    """
    regions = regions_of(candidates.boxes, semantic.image_size)
    parts: list[list[Tensor]] = [[] for _ in regions]
    for i, logits in _logits(head, semantic, candidates, regions):
        parts[i].append(logits)
    return [(box, _joined(part)) for box, part in zip(regions, parts, strict=True)]


def _joined(parts: list[Tensor]) -> Tensor:
    """Return strips, from top to bottom, as one; a single one without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _logits(
    head: PanopticHead, semantic: SemanticPrediction, candidates: Candidates, regions: list[Box]
) -> Iterator[tuple[int, Tensor]]:
    """Yield the head's logits of `refine`: an instance's number and a strip of its region.

    The strips of an instance come from top to bottom. A class's context is kept for one
    strip of the image at a time: nothing as large as the image exists for every class.
    """
    size, radius = semantic.image_size, head.radius
    for class_id in sorted(set(candidates.class_ids.tolist())):
        members = np.flatnonzero(candidates.class_ids == class_id).tolist()
        cnn = head.cnn(class_id)
        own_kernel, context_kernel = cnn.kernel().split((1, head.num_semantic), dim=1)
        for frame, group in _frames(regions, members):
            for strip in strips(frame, semantic.logits.device):
                masks = softmax_masks(semantic, strip, radius)
                context = _convolved(masks, context_kernel[0]) + cnn.bias
                for i in group:
                    x0, y0, x1, y1 = crop = _rows_of(regions[i], strip)
                    if y0 >= y1:
                        continue
                    box = candidates.boxes[i]
                    own = instance_mask(candidates.masks[i], box, crop, size, radius)
                    left, top = strip[:2]
                    shared = context[y0 - top : y1 - top, x0 - left : x1 - left]
                    yield i, _convolved(own[None], own_kernel[0]) + shared


def _convolved(image: Tensor, kernel: Tensor) -> Tensor:
    """Return what one filter gives where it lies inside an image, [h - k + 1, w - k + 1].

    image: float [C, h, w]; kernel: float [C, k, k].
    """
    if image.device.type != "cpu":
        return F.conv2d(image[None], kernel[None])[0, 0]
    side = kernel.shape[1]
    height, width = image.shape[1] - side + 1, image.shape[2] - side + 1
    if len(image) == 1:
        centre = side // 2
        full = cv2.filter2D(image[0].numpy(), -1, kernel[0].detach().numpy())
        return torch.from_numpy(full[centre : centre + height, centre : centre + width])
    # One product for all places of the kernel, then a sum of its shifted rows: oneDNN's convolution
    # takes ten times longer for a single output channel.
    places = (kernel.flatten(1).T @ image.flatten(1)).view(-1, *image.shape[1:])
    total = places[0, :height, :width].clone()
    for place in range(1, side * side):
        y, x = divmod(place, side)
        total += places[place, y : y + height, x : x + width]
    return total


def _rows_of(box: Box, strip: Box) -> Box:
    """Return the part of a box in the rows of a strip; of no height where there is none."""
    return box[0], max(box[1], strip[1]), box[2], min(box[3], strip[3])


def _frames(regions: list[Box], members: list[int]) -> list[tuple[Box, list[int]]]:
    """Return the rectangles in which to compute a class's context, with whom each serves.

    One for all members where they crowd; one each where that is less area.
    """
    table = np.array([regions[i] for i in members])
    hull = (*table[:, :2].min(0).tolist(), *table[:, 2:].max(0).tolist())
    if _areas(table).sum() < _areas(np.array(hull)):
        return [(regions[i], [i]) for i in members]
    return [(hull, members)]


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def region(box: np.ndarray, image_size: tuple[int, int]) -> Box:
    """Return the pixels that a refined mask may hold: the float xyxy box grown by CONTEXT."""
    return regions_of(np.reshape(box, (1, 4)), image_size)[0]


def regions_of(boxes: np.ndarray, image_size: tuple[int, int]) -> list[Box]:
    """Return `region` of each box, float [N, 4]."""
    margins = (boxes[:, 2:] - boxes[:, :2]) * CONTEXT
    grown = np.concatenate([boxes[:, :2] - margins, boxes[:, 2:] + margins], axis=1)
    return box_tuples(pixel_boxes(grown, image_size))


def softmax_masks(semantic: SemanticPrediction, box: Box, margin: int) -> Tensor:
    """Return softmax masks of a box and a margin around it, float32 [C, h + 2m, w + 2m].

    What lies beyond the image is zero, as around every mask that the head sees.
    """
    inner, padding = _window(box, semantic.image_size, margin)
    scores = upsample_crop(semantic.scores, semantic.image_size, inner).float()
    return _padded(scores.softmax(0)[: len(semantic.labels)], padding)


def instance_mask(
    mask: Tensor, box: np.ndarray, crop: Box, size: tuple[int, int], margin: int
) -> Tensor:
    """Return a detector's mask in a crop of the image and a margin, float32 [h + 2m, w + 2m].

    mask: float [M, M] over the float xyxy box. Zero beyond the image.
    """
    inner, padding = _window(crop, size, margin)
    return _padded(paste(mask, box, inner).float(), padding)


def _padded(image: Tensor, padding: list[int]) -> Tensor:
    """Return F.pad's answer, without its copy where there is nothing to pad."""
    return F.pad(image, padding) if any(padding) else image


def _window(box: Box, size: tuple[int, int], margin: int) -> tuple[Box, list[int]]:
    """Grow a box by a margin; return its part inside the image, and the padding F.pad adds."""
    x0, y0, x1, y1 = box
    left, top = max(x0 - margin, 0), max(y0 - margin, 0)
    right, bottom = min(x1 + margin, size[1]), min(y1 + margin, size[0])
    padding = [left - (x0 - margin), x1 + margin - right, top - (y0 - margin), y1 + margin - bottom]
    return (left, top, right, bottom), padding
