"""A network that tells one class from all else, and decides it on top of another's prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from panoptic_ros.model.onnx import OnnxSemanticPredictor
from panoptic_ros.model.predictors import OnTop, PanopticPredictor
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

# Keeps the log odds of a probability of 0 or 1 finite.
LEAST = 1e-6


class ExpertPredictor(OnTop[PanopticPredictor]):
    """Give the predictions of networks, one class of them as an expert sees it.

    expert: knows one class of the label set, and what is none of it.
    Raise ValueError where it knows others, or nothing else.
    """

    def __init__(self, networks: PanopticPredictor, expert: OnnxSemanticPredictor) -> None:
        super().__init__(networks)
        self.expert = expert
        self._channel = expert.only_class()

    @torch.inference_mode()
    def __call__(
        self, image: np.ndarray | Tensor, lap: Callable[[str], None] = lambda stage: None
    ) -> tuple[SemanticPrediction, InstancePrediction]:
        """Return both predictions of an image.

        lap: as the networks tell it; the expert's time counts to their first stage.
        """
        frame = self.upload(image)
        opinion = self.expert(frame)
        semantic, instances = self._networks(frame, lap)
        return decided(semantic, opinion, self._channel), instances


def decided(
    semantic: SemanticPrediction, opinion: SemanticPrediction, channel: int
) -> SemanticPrediction:
    """Return a prediction in which a class wins where an expert gives it more than one half.

    opinion: the expert's, with a score of `other`, at any scale; channel: of the class. Its logit
    becomes that of the best other class plus the expert's log odds. What the others have among
    each other stays.
    """
    assert opinion.other is not None
    odds = opinion.logits[channel].float() - opinion.other.float()
    probability = F.interpolate(
        odds.sigmoid()[None, None],
        semantic.logits.shape[1:],
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )[0, 0]
    others = semantic.scores.clone()
    others[channel] = -torch.inf
    logits = semantic.logits.clone()
    logits[channel] = others.amax(0) + probability.logit(LEAST).to(logits.dtype)
    return SemanticPrediction(logits, semantic.image_size, semantic.labels, semantic.other)
