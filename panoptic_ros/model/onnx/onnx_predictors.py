"""ONNX networks behind the two halves' interface (see predictors.py)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import roi_align

from panoptic_ros.labels import LabelSet
from panoptic_ros.model.onnx.description import OnnxDescription
from panoptic_ros.model.onnx.session import OnnxSession
from panoptic_ros.model.predictors import resize, resized, upload
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

MASK_SIZE = 28
# Scores of a class that the network does not know, or gives no score: e^-30 is nothing to a
# softmax, and finite where a logarithm of 0 is not.
NEVER = -30.0


class _OnnxPredictor:
    """Hold a graph and the size of image that it wants: the graph's own where it fixes one."""

    def __init__(
        self,
        description: OnnxDescription,
        labels: LabelSet,
        device: torch.device,
        short_side: int = 0,
        long_side: int = 0,
    ) -> None:
        self.labels = labels
        self.short_side, self.long_side = short_side, long_side
        self._class_ids = description.class_ids(labels)
        self._session = OnnxSession(description, device)

    @property
    def device(self) -> torch.device:
        """Device that predictions lie on."""
        return self._session.device

    def upload(self, image: np.ndarray | Tensor) -> Tensor:
        """Return an image as uint8 [3, H, W] on the device; see `predictors.upload`."""
        return upload(image, self.device)

    def _resized(self, frame: Tensor) -> Tensor:
        """Return float [3, h, w], 0..255, of the size that the graph takes."""
        size = resized(tuple(frame.shape[1:]), self.short_side, self.long_side)
        size = tuple(fixed or side for fixed, side in zip(self._session.size, size, strict=True))
        return resize(frame, size).float()


class OnnxSemanticPredictor(_OnnxPredictor):
    """Score each pixel of an image with an ONNX network.

    Raise ValueError where file, description and label set do not fit.
    """

    def __init__(self, description: OnnxDescription, labels: LabelSet, *args: object) -> None:
        super().__init__(description, labels, *args)
        self._kind = description.output.kind
        self._file = description.file
        (self._output,) = self._session.outputs([description.output.name])
        # Channel of the label set -> channels of the network's output that count as it.
        self._sources = {
            channel: torch.from_numpy(np.flatnonzero(self._class_ids == c.id)).to(self.device)
            for channel, c in enumerate(labels.classes)
            if c.id in self._class_ids
        }

    @torch.inference_mode()
    def __call__(self, image: np.ndarray | Tensor) -> SemanticPrediction:
        """Return the class scores of an image; a class that the network lacks never wins.

        Probabilities of output channels that count as one class are added.
        Raise ValueError where the graph's output is not what its description says.
        """
        frame = self.upload(image)
        (found,) = self._session(self._resized(frame), [self._output])
        scores = self._scores(found)
        if len(scores) != len(self._class_ids):
            raise ValueError(
                f"{self._file} gives {len(scores)} channels, "
                f"its description names {len(self._class_ids)} classes"
            )
        logits = scores.new_full((len(self.labels), *scores.shape[1:]), NEVER)
        for channel, sources in self._sources.items():
            torch.logsumexp(scores[sources], 0, out=logits[channel])
        return SemanticPrediction(logits, tuple(frame.shape[1:]), self.labels)

    def _scores(self, found: Tensor) -> Tensor:
        """Return an output as logits, float [C, h, w]."""
        sides = 2 if self._kind == "labels" else 3
        while found.ndim > sides and found.shape[0] == 1:
            found = found[0]
        if found.ndim != sides:
            raise ValueError(
                f"{self._file}: output {self._output!r} has shape {list(found.shape)}, "
                f"which is no {self._kind}"
            )
        if self._kind == "labels":
            count = len(self._class_ids)
            one_hot = found[None] == torch.arange(count, device=self.device)[:, None, None]
            if not one_hot.any(0).all():
                raise ValueError(
                    f"{self._file} gives indices from {found.min()} to {found.max()}, "
                    f"its description names {count} classes"
                )
            return torch.where(one_hot, 0.0, NEVER)
        found = found.float()
        return found if self._kind == "logits" else found.clamp_min(1e-13).log()


class OnnxInstancePredictor(_OnnxPredictor):
    """Find instances in an image with an ONNX network.

    Raise ValueError where file, description and label set do not fit.
    """

    def __init__(self, description: OnnxDescription, labels: LabelSet, *args: object) -> None:
        super().__init__(description, labels, *args)
        output = description.output
        names = (output.boxes, output.labels, output.scores, output.masks)
        self._file, self._names = description.file, self._session.outputs(names)
        self._mask_frame = output.mask_frame
        self._ids = torch.from_numpy(self._class_ids).to(self.device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray | Tensor) -> InstancePrediction:
        """Return the instances in an image, by falling score, boxes in pixels of the image.

        Raise ValueError where the graph's outputs are not what its description says.
        """
        frame = self.upload(image)
        pixels = self._resized(frame)
        found = self._session(pixels, self._names)
        boxes, labels, scores, masks = self._checked(found)
        kept = (labels >= 0) & (labels < len(self._ids))
        kept &= self._ids[labels.clamp(0, len(self._ids) - 1)] > 0
        boxes, labels, scores, masks = boxes[kept], labels[kept], scores[kept], masks[kept]
        if self._mask_frame == "image":
            masks = _cropped(masks, boxes, pixels.shape[1:])
        height, width = frame.shape[1:]
        scale = boxes.new_tensor([width / pixels.shape[2], height / pixels.shape[1]]).repeat(2)
        limit = boxes.new_tensor([width, height]).repeat(2)
        boxes = torch.minimum((boxes * scale).clamp_min(0), limit)
        order = scores.argsort(descending=True, stable=True)
        return InstancePrediction(
            boxes[order], self._ids[labels[order]], scores[order], masks[order]
        )

    def _checked(self, found: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return boxes [N, 4], labels [N], scores [N], masks [N, M, M'], batch axes removed."""
        boxes, labels, scores, masks = found
        boxes = boxes[0] if boxes.ndim == 3 else boxes
        n = len(boxes)
        labels, scores = labels.reshape(-1), scores.reshape(-1)
        masks = masks.reshape(n, *masks.shape[-2:]) if masks.numel() or not n else masks
        if boxes.shape != (n, 4) or len(labels) != n or len(scores) != n or masks.ndim != 3:
            shapes = {name: list(t.shape) for name, t in zip(self._names, found, strict=True)}
            raise ValueError(f"{self._file}: outputs that do not fit each other: {shapes}")
        return boxes.float(), labels.long(), scores.float(), masks.float()


def _cropped(masks: Tensor, boxes: Tensor, size: torch.Size) -> Tensor:
    """Return masks of the whole image, [N, h, w], in their boxes' frames, [N, 28, 28]."""
    if not len(masks):
        return masks.new_zeros(0, MASK_SIZE, MASK_SIZE)
    # A network may give its masks smaller than its input.
    scale = boxes.new_tensor([masks.shape[2] / size[1], masks.shape[1] / size[0]]).repeat(2)
    regions = list((boxes * scale)[:, None])
    return roi_align(masks[:, None], regions, MASK_SIZE, aligned=True)[:, 0]
