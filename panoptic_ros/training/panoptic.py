"""Train a shared network end to end: stuff and things at once, from the same crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.datasets import LabeledFrame, load_frame
from panoptic_ros.fusion import FusionOptions, Strategy
from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.stack import stack
from panoptic_ros.labels import LabelSet
from panoptic_ros.model.shared_predictor import SharedPredictor
from panoptic_ros.networks import PanopticHead, SharedPanopticNetwork
from panoptic_ros.networks.panoptic.shared import STRIDE, RegionHead, SharedOutput
from panoptic_ros.networks.semantic import upsample
from panoptic_ros.prediction import PanopticPrediction, SemanticPrediction
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments
from panoptic_ros.training.frames import Frames, FrameSamples, class_pixels, thing_presence
from panoptic_ros.training.head_loss import head_loss
from panoptic_ros.training.instance import check_sampling
from panoptic_ros.training.losses import class_weights, hard_cross_entropy
from panoptic_ros.training.sampling import repeat_factors
from panoptic_ros.training.semantic import check_loss, validation_frames
from panoptic_ros.training.settings import (
    LARGEST_FACTOR,
    AugmentationConfig,
    TrainingConfig,
    require,
)
from panoptic_ros.training.targets import instance_target, semantic_target
from panoptic_ros.training.task import Task, Trainee, new_network
from panoptic_ros.training.upsnet_loss import DROPPED, panoptic_loss
from panoptic_ros.training.warm_start import warm_start
from panoptic_ros.visualization import colorize

Target = tuple[Tensor, dict[str, Tensor]]
SHOWN_FRAMES = 2


@dataclass(frozen=True)
class PanopticConfig(TrainingConfig):
    """Add the losses' weights and the sampling to the common settings.

    semantic_weight, instance_weight: of the cross-entropy and of all the instances' losses,
    as the system's paper has them, >= 0; panoptic_weight: of UPSNet's loss (`upsnet_loss`);
    head_weight: of a Convolutional Panoptic Head that learns with the network (`head_loss`);
    both for Mask R-CNN only, 0: not computed; the others as in `SemanticConfig` and
    `InstanceConfig` (regions: of Mask R-CNN only); stuff_area_limit: of the merge that PQ is
    validated with, pixels.
    """

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    semantic_weight: float = 1.0
    instance_weight: float = 1.0
    panoptic_weight: float = 0.0
    head_weight: float = 0.0
    largest_class_weight: float = 10.0
    hard_fraction: float = 1.0
    min_area: int = 40
    repeat_threshold: float = 0.3
    regions: int = 128
    stuff_area_limit: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        crop = self.augmentation.crop
        check_loss(self.hard_fraction, self.largest_class_weight)
        check_sampling(self, crop)
        if any(side % STRIDE for side in crop):
            raise ValueError(
                f"augmentation.crop is {crop}; both sides must be multiples of {STRIDE}"
            )
        weights = ("semantic_weight", "instance_weight", "panoptic_weight", "head_weight")
        require(self, weights, 0, LARGEST_FACTOR)
        if not any(getattr(self, name) for name in weights):
            raise ValueError(f"{', '.join(weights)} are 0; one must be more")
        require(self, ("stuff_area_limit",), 0)


class PanopticTrainee(Trainee):
    """Give the weighted losses of a shared network on images and targets.

    head: what learns with it, None where its loss has no weight.
    """

    network: SharedPanopticNetwork
    class_weight: Tensor
    is_thing: Tensor

    def __init__(
        self,
        network: SharedPanopticNetwork,
        class_weight: Tensor,
        labels: LabelSet,
        config: PanopticConfig,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.register_buffer("class_weight", class_weight)
        self.labels = labels
        is_thing = torch.from_numpy(labels.is_thing)
        self.register_buffer("is_thing", is_thing, persistent=False)
        self.head = (
            PanopticHead([c.id for c in labels.things], len(labels)) if config.head_weight else None
        )
        if isinstance(network.instances, RegionHead):
            network.instances.roi_heads.fg_bg_sampler.batch_size_per_image = config.regions

    def forward(self, batch: tuple[Tensor, Tensor, list[dict[str, Tensor]]]) -> dict[str, Tensor]:
        """Return the losses of uint8 [B, 3, H, W] images and their targets."""
        images, channels, targets = batch
        pixels = (images.float() / 255).contiguous(memory_format=torch.channels_last)
        output = self.network(pixels, targets)
        logits = upsample(output.logits.float(), channels.shape[1:])
        semantic = hard_cross_entropy(
            logits, channels, self.class_weight, self.config.hard_fraction
        )
        instances = {k: self.config.instance_weight * v for k, v in output.losses.items()}
        losses = {"cross_entropy": self.config.semantic_weight * semantic, **instances}
        if self.config.panoptic_weight or self.head is not None:
            losses |= self._on_true_boxes(output, channels, targets)
        return losses

    def _on_true_boxes(
        self, output: SharedOutput, channels: Tensor, targets: list[dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return UPSNet's loss and the head's, means over the images, those with a weight."""
        size = (int(channels.shape[1]), int(channels.shape[2]))
        masks = self.network.instances.true_masks(output.features, targets, size)
        losses: dict[str, list[Tensor]] = {}
        for logits, mask, target, truth in zip(
            output.logits.float(), masks, targets, channels, strict=True
        ):
            if self.config.panoptic_weight:
                kept = torch.rand(len(mask), device=mask.device) >= DROPPED
                loss = panoptic_loss(logits, mask.float(), target, truth, self.is_thing, kept)
                losses.setdefault("panoptic", []).append(self.config.panoptic_weight * loss)
            if self.head is not None:
                semantic = SemanticPrediction(logits, size, self.labels)
                loss = head_loss(self.head, semantic, mask.float(), target)
                losses.setdefault("head", []).append(self.config.head_weight * loss)
        return {name: torch.stack(values).mean() for name, values in losses.items()}


class PanopticTask(Task[PanopticTrainee]):
    """Hold everything that training a shared network needs."""

    config: PanopticConfig
    chosen_by = "PQ"

    def __init__(self, config: PanopticConfig, train: Frames, val: Frames) -> None:
        super().__init__(config)
        network = new_network(config, SharedPanopticNetwork, "panoptic")
        # Other classes than the labels' are told before the labels are read.
        SharedPredictor(network, self.labels)
        pixels = torch.from_numpy(class_pixels(train, self.labels).sum(axis=0))
        weights = repeat_factors(thing_presence(train, self.labels), config.repeat_threshold)
        self.samples = FrameSamples(train, weights, config.augmentation, self._target, config.seed)
        self.notes = warm_start(network, config.initialize, self.samples)
        for name in ("panoptic_weight", "head_weight"):
            if getattr(config, name) and not isinstance(network.instances, RegionHead):
                raise ValueError(f"{name} needs architecture.instances.name mask_rcnn")
        # A batch without a class leaves its CNN of the head alone.
        self.unused_parameters = config.head_weight > 0
        self.trainee = PanopticTrainee(
            network, class_weights(pixels, config.largest_class_weight), self.labels, config
        )
        self._val = val
        self._options = FusionOptions(stuff_area_limit=config.stuff_area_limit)

    def _target(self, ids: np.ndarray) -> Target:
        return (
            semantic_target(ids, self.labels),
            instance_target(ids, self.labels, self.config.min_area),
        )

    def collate(
        self, samples: list[tuple[Tensor, Target]]
    ) -> tuple[Tensor, Tensor, list[dict[str, Tensor]]]:
        """Return images [B, 3, h, w], channels [B, h, w] and the instances of each image."""
        images, targets = zip(*samples, strict=True)
        channels, instances = zip(*targets, strict=True)
        return torch.stack(images), torch.stack(channels), list(instances)

    def validate(self, trainee: PanopticTrainee, share: tuple[int, int]) -> np.ndarray:
        """Return per class the summed IoU, found, spurious and missed, float64 [4, C]."""
        predict, merge = self._model(trainee)
        quality = PanopticQuality.of(self.labels)
        for frame in validation_frames(self._val, self.config, share):
            image, truth = load_frame(frame)
            merged = merge(*predict(image), self._options)
            quality.add(*label_image_segments(truth, merged.labels, self.labels))
        return np.stack([quality.iou, quality.tp, quality.fp, quality.fn]).astype(float)

    def scores(self, trainee: PanopticTrainee, counts: np.ndarray) -> Mapping[str, float]:
        """Return PQ, SQ and RQ, of things and stuff too, and each class's PQ, in percent."""
        quality = PanopticQuality.of(self.labels)
        quality.iou += counts[0]
        for total, count in zip((quality.tp, quality.fp, quality.fn), counts[1:], strict=True):
            total += count.astype(np.int64)
        results = quality.results()
        occurring = {i: c for i, c in results["per_class"].items() if c["tp"] + c["fp"] + c["fn"]}
        return {
            "PQ": 100 * results["all"]["pq"],
            "SQ": 100 * results["all"]["sq"],
            "RQ": 100 * results["all"]["rq"],
            "PQ things": 100 * results["things"]["pq"],
            "PQ stuff": 100 * results["stuff"]["pq"],
            **{f"PQ {self.labels[i].name}": 100 * c["pq"] for i, c in occurring.items()},
        }

    def pictures(self, trainee: PanopticTrainee) -> Mapping[str, np.ndarray]:
        """Return two validation frames: camera, semantic classes and merged labels of each."""
        frames = validation_frames(self._val, self.config, (0, 1))
        shown = frames[:: max(1, len(frames) - 1)][:SHOWN_FRAMES]
        return {frame.name: self._picture(trainee, frame) for frame in shown}

    def _model(self, trainee: PanopticTrainee) -> tuple[SharedPredictor, Strategy]:
        """Return what predicts and what merges, with the head where there is one."""
        merge = stack if trainee.head is None else ConvHead(trainee.head)
        return SharedPredictor(trainee.network, self.labels), merge

    def _picture(self, trainee: PanopticTrainee, frame: LabeledFrame) -> np.ndarray:
        predict, merge = self._model(trainee)
        image = frame.load_image()
        semantic, instances = predict(image)
        merged = merge(semantic, instances, self._options)
        classes = PanopticPrediction(self.labels.ids[semantic.channels.cpu().numpy()])
        colors = (colorize(labels, self.labels) for labels in (classes, merged))
        return np.concatenate([image, *colors])
