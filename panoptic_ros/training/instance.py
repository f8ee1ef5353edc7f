"""Train instance segmentation: Mask R-CNN with torchvision's losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.datasets import load_frame
from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.model.predictors import InstancePredictor
from panoptic_ros.networks import MaskRCNNDetector
from panoptic_ros.prediction import InstancePrediction
from panoptic_ros.scores.matching import Match, match
from panoptic_ros.training.frames import Frames, FrameSamples, thing_presence
from panoptic_ros.training.sampling import repeat_factors
from panoptic_ros.training.semantic import validation_frames
from panoptic_ros.training.settings import AugmentationConfig, TrainingConfig, require
from panoptic_ros.training.targets import instance_target
from panoptic_ros.training.task import Task, Trainee, new_network
from panoptic_ros.training.warm_start import warm_start
from panoptic_ros.upsampling import pasted

Target = dict[str, Tensor]
# Of the detections that are scored, and of the pixels that a mask holds.
LEAST_SCORE = MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class InstanceConfig(TrainingConfig):
    """Add the detector's sampling to the common settings.

    min_area: smaller instances (pixels, after scaling) are no targets; repeat_threshold:
    frames with a class that occurs in a smaller share of them are repeated; regions: regions
    per image that the box head is trained on (at most a quarter of them positive).
    """

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    min_area: int = 50
    repeat_threshold: float = 0.3
    regions: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sampling(self, self.augmentation.crop)


def check_sampling(config: TrainingConfig, crop: tuple[int, int]) -> None:
    """Raise ValueError for an impossible setting of `InstanceConfig`, or of one that has its."""
    # Of more pixels than a crop has, no instance would be a target.
    require(config, ("min_area",), 0, math.prod(crop))
    require(config, ("repeat_threshold",), 0, 1)
    require(config, ("regions",), 1)


class InstanceTrainee(Trainee):
    """Give torchvision's five losses of a detector on images and targets."""

    network: MaskRCNNDetector

    def __init__(self, network: MaskRCNNDetector, regions: int) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.network.roi_heads.fg_bg_sampler.batch_size_per_image = regions

    def forward(self, batch: tuple[Tensor, list[Target]]) -> dict[str, Tensor]:
        """Return the losses of uint8 [B, 3, H, W] images and their targets."""
        images, targets = batch
        return self.network(list(images.float() / 255), targets)


class InstanceTask(Task[InstanceTrainee]):
    """Hold everything that training a detector needs."""

    def __init__(self, config: InstanceConfig, train: Frames, val: Frames) -> None:
        super().__init__(config)
        network = new_network(config, MaskRCNNDetector, "instance")
        # Other classes than the labels' are told before the labels are read.
        InstancePredictor(network, self.labels)
        weights = repeat_factors(thing_presence(train, self.labels), config.repeat_threshold)
        target = partial(instance_target, labels=self.labels, min_area=config.min_area)
        self.samples = FrameSamples(train, weights, config.augmentation, target, config.seed)
        self.notes = warm_start(network, config.initialize, self.samples)
        self.trainee = InstanceTrainee(network, config.regions)
        self._val = val

    def collate(self, samples: list[tuple[Tensor, Target]]) -> tuple[Tensor, list[Target]]:
        """Return images [B, 3, h, w] and a target each."""
        images, targets = zip(*samples, strict=True)
        return torch.stack(images), list(targets)

    def validate(self, trainee: InstanceTrainee, share: tuple[int, int]) -> np.ndarray:
        """Return per thing class found, spurious, missed and summed IoU, float64 [K, 4]."""
        predictor = InstancePredictor(trainee.network, self.labels)
        counts = np.zeros((len(self.labels.things), 4))
        for frame in validation_frames(self._val, self.config, share):
            image, truth = load_frame(frame)
            found = predictor(image)
            counts += self._count(found[found.scores >= LEAST_SCORE], truth)
        return counts

    def _count(self, found: InstancePrediction, ids: np.ndarray) -> np.ndarray:
        row = {c.id: i for i, c in enumerate(self.labels.things)}
        counts = np.zeros((len(row), 4))
        for m in matches(found, ids):
            counts[row[m.value // INSTANCE_DIVISOR]] += (1, 0, 0, m.iou)
        for class_id in found.class_ids.tolist():
            counts[row[class_id], 1] += 1
        for value in np.flatnonzero(np.bincount(ids.ravel())).tolist():
            if value // INSTANCE_DIVISOR in row:
                counts[row[value // INSTANCE_DIVISOR], 2] += 1
        counts[:, 1:3] -= counts[:, :1]
        return counts

    def scores(self, trainee: InstanceTrainee, counts: np.ndarray) -> Mapping[str, float]:
        """Return the quality of the thing classes, in percent.

        PQ = summed IoU of the found / (found + spurious / 2 + missed / 2), detections of a
        score of at least 0.5 taken as they come, overlaps included (Kirillov et al. 2019).
        """
        found, spurious, missed, overlap = counts.T
        size = found + (spurious + missed) / 2
        quality = np.where(found + missed > 0, overlap / np.maximum(size, 0.5), np.nan)
        named = zip(self.labels.things, quality, strict=True)
        return {
            "PQ things": 100 * float(np.nanmean(quality)),
            "recall": 100 * float(found.sum() / max(found.sum() + missed.sum(), 1)),
            "precision": 100 * float(found.sum() / max(found.sum() + spurious.sum(), 1)),
            "mask IoU": 100 * float(overlap.sum() / max(found.sum(), 1)),
            **{f"PQ {c.name}": 100 * float(v) for c, v in named if not np.isnan(v)},
        }


def matches(found: InstancePrediction, truth: np.ndarray) -> list[Match]:
    """Return which detections, by falling score, found which instances of the truth.

    truth: integer [H, W], class_id * 1000 + n for things.
    """
    boxes = found.boxes.double().cpu().numpy()
    masks = [
        (box, (values >= MASK_THRESHOLD).cpu().numpy())
        for box, values in pasted(boxes, found.masks, truth.shape)
    ]
    return match(found.class_ids.tolist(), masks, truth)
