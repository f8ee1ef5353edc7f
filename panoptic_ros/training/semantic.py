"""Train semantic segmentation: DeepLabV3+ with weighted cross-entropy on the hard pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from panoptic_ros.datasets import load_frame
from panoptic_ros.model.predictors import IMAGENET_MEAN, IMAGENET_STD, SemanticPredictor
from panoptic_ros.networks import DeepLabV3Plus
from panoptic_ros.networks.deeplab import SMALLEST_SIDE
from panoptic_ros.networks.semantic import upsample
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.training.frames import Frames, FrameSamples, class_pixels
from panoptic_ros.training.losses import class_weights, hard_cross_entropy
from panoptic_ros.training.settings import AugmentationConfig, TrainingConfig, require
from panoptic_ros.training.targets import semantic_target
from panoptic_ros.training.task import Task, Trainee, new_network
from panoptic_ros.training.warm_start import warm_start

# Of a class: of less, torch makes 0.
SMALLEST_WEIGHT = 1e-6


@dataclass(frozen=True)
class SemanticConfig(TrainingConfig):
    """Add the semantic loss to the common settings.

    largest_class_weight: limit of the inverse-square-root frequency weights;
    hard_fraction: share of the pixels, the hardest ones, that the loss takes, ]0, 1].
    """

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    largest_class_weight: float = 10.0
    hard_fraction: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        check_loss(self.hard_fraction, self.largest_class_weight)
        crop = self.augmentation.crop
        if min(crop) < SMALLEST_SIDE:
            raise ValueError(f"augmentation.crop is {crop}; both sides must be >= {SMALLEST_SIDE}")
        # The network's image pooling leaves one value of a frame, which no batch norm learns from.
        require(self, ("batch_size",), 2)


def check_loss(hard_fraction: float, largest_class_weight: float) -> None:
    """Raise ValueError for an impossible setting of the loss."""
    if not 0 < hard_fraction <= 1:
        raise ValueError(f"hard_fraction is {hard_fraction}; it must be in ]0, 1]")
    if largest_class_weight < SMALLEST_WEIGHT:
        raise ValueError(
            f"largest_class_weight is {largest_class_weight}; it must be >= {SMALLEST_WEIGHT:g}"
        )


class SemanticTrainee(Trainee):
    """Give the loss of a semantic network on images and targets."""

    network: DeepLabV3Plus
    weights: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, network: DeepLabV3Plus, weights: Tensor, hard_fraction: float) -> None:
        super().__init__()
        # Channels innermost: twice as fast in bf16 on a CPU, and on tensor cores.
        self.network = network.to(memory_format=torch.channels_last)
        self.hard_fraction = hard_fraction
        self.register_buffer("weights", weights)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Return the cross-entropy of uint8 [B, 3, H, W] images, int64 [B, H, W] targets."""
        images, target = batch
        pixels = (images.float() / 255 - self.mean) / self.std
        logits = self.network(pixels.contiguous(memory_format=torch.channels_last))
        logits = upsample(logits.float(), target.shape[1:])
        loss = hard_cross_entropy(logits, target, self.weights, self.hard_fraction)
        return {"cross_entropy": loss}


class SemanticTask(Task[SemanticTrainee]):
    """Hold everything that training a semantic network needs."""

    def __init__(self, config: SemanticConfig, train: Frames, val: Frames) -> None:
        super().__init__(config)
        network = new_network(config, DeepLabV3Plus, "semantic")
        # Other classes than the labels' are told before the labels are read.
        SemanticPredictor(network, self.labels)
        pixels = torch.from_numpy(class_pixels(train, self.labels).sum(axis=0))
        target = partial(semantic_target, labels=self.labels)
        self.samples = FrameSamples(
            train, np.ones(len(train)), config.augmentation, target, config.seed
        )
        self.notes = warm_start(network, config.initialize, self.samples)
        self.trainee = SemanticTrainee(
            network, class_weights(pixels, config.largest_class_weight), config.hard_fraction
        )
        self._val = val

    def collate(self, samples: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Return images [B, 3, h, w] and targets [B, h, w]."""
        return default_collate(samples)

    def validate(self, trainee: SemanticTrainee, share: tuple[int, int]) -> np.ndarray:
        """Return the confusion matrix, as `evaluation.ConfusionMatrix` counts it."""
        predictor = SemanticPredictor(trainee.network, self.labels)
        matrix = ConfusionMatrix(self.labels)
        for frame in validation_frames(self._val, self.config, share):
            image, truth = load_frame(frame)
            matrix.add(truth, self.labels.ids[predictor(image).channels.cpu().numpy()])
        return matrix.counts

    def scores(self, trainee: SemanticTrainee, counts: np.ndarray) -> Mapping[str, float]:
        """Return mIoU over the classes that occur, and each one's IoU, in percent."""
        matrix = ConfusionMatrix(self.labels)
        matrix.counts += counts
        named = zip(self.labels.classes, matrix.iou(), strict=True)
        return {
            "mIoU": 100 * matrix.mean_iou(),
            **{f"IoU {c.name}": 100 * float(v) for c, v in named if not np.isnan(v)},
        }


def validation_frames(val: Frames, config: TrainingConfig, share: tuple[int, int]) -> Frames:
    """Return the validation frames of one process, spread evenly over the set."""
    count = min(config.validation_frames or len(val), len(val))
    stride = max(1, len(val) // max(count, 1))
    return val[: stride * count : stride][share[0] :: share[1]]
