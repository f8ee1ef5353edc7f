"""Both predictions of an image from one pass of a shared network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.labels import LabelSet
from panoptic_ros.model.predictors import (
    OWN_SIZE,
    Limits,
    Predictor,
    answers_of,
    found_in_image,
    sides_of,
)
from panoptic_ros.networks.panoptic.shared import STRIDE, SharedPanopticNetwork
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction, all_finite


class SharedPredictor(Predictor):
    """Score pixels and find instances in one pass.

    The image is brought to sides that are multiples of 32, which stretches it by a few
    percent at most; boxes are in pixels of the image itself.
    Raise ValueError where the network's classes are not the label set's.
    """

    network: SharedPanopticNetwork
    # Whether `together` can be called.
    batches = True

    def __init__(
        self,
        network: SharedPanopticNetwork,
        labels: LabelSet,
        limits: Limits = OWN_SIZE,
    ) -> None:
        super().__init__(network, labels, limits)
        wanted = (len(labels), len(labels.things))
        if (network.num_classes, network.num_things) != wanted:
            raise ValueError(
                f"the network has {network.num_classes} classes, {network.num_things} of them "
                f"things; label set {labels.name!r} has {wanted[0]} and {wanted[1]}"
            )
        self.class_ids = torch.tensor([0, *(c.id for c in labels.things)], device=self.device)

    def input_size(self, frame: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) at which the network sees an image of a size."""
        height, width = super().input_size(frame)
        return _whole(height), _whole(width)

    @torch.inference_mode()
    def __call__(
        self, image: np.ndarray | Tensor, lap: Callable[[str], None] = lambda stage: None
    ) -> tuple[SemanticPrediction, InstancePrediction]:
        """Return both predictions of an image (see `upload` for what it takes).

        lap: told when `instances`, to which the backbone is counted, and `semantic` are done.
        """
        return self.together([self.upload(image)], lap)[0]

    @torch.inference_mode()
    def together(
        self, frames: Sequence[Tensor], lap: Callable[[str], None]
    ) -> list[tuple[SemanticPrediction, InstancePrediction]]:
        """Return both predictions of images of one size, as `upload` gives them.

        An answer that is not finite makes those of all images so.
        """
        size = sides_of(frames[0])
        pixels = self._resized(frames)
        with self._computing():
            features = self.network.features(pixels)
            with answers_of(self.network.answer_layers) as answers:
                detections, _ = self.network.instances(pixels, features, None)
            lap("instances")
            logits = self.network.logits(features, detections).float()
            lap("semantic")
        finite, seen = all_finite(answers), (pixels.shape[2], pixels.shape[3])
        return [
            (
                SemanticPrediction(each, size, self.labels),
                found_in_image(found, self.class_ids, size, seen, finite),
            )
            for each, found in zip(logits, detections, strict=True)
        ]


def _whole(side: int) -> int:
    """Return the multiple of STRIDE nearest to a side, at least one."""
    return max(STRIDE, round(side / STRIDE) * STRIDE)
