"""Train the Convolutional Panoptic Head on the predictions of frozen networks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.stack import detector_masks
from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.networks import PanopticHead
from panoptic_ros.prediction import on_host
from panoptic_ros.scores.instance_iou import mask_iou
from panoptic_ros.training.frames import Frames
from panoptic_ros.training.frozen import FrozenConfig, check_things, predict_once
from panoptic_ros.training.head_inputs import Entry, HeadInputs, HeadSample
from panoptic_ros.training.sampling import Order
from panoptic_ros.training.settings import require
from panoptic_ros.training.task import Task, Trainee, new_network
from panoptic_ros.training.warm_start import warm_start


@dataclass(frozen=True)
class HeadConfig(FrozenConfig):
    """Add the head's samples to the frozen networks.

    window: longest side of a training crop in pixels; selection_stride: every n-th training
    frame, n this number, is not trained on, but decides which state of each class's CNN is
    kept.
    """

    window: int = 192
    selection_stride: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, ("selection_stride",), 2)
        require(self, ("window",), 1)


class HeadTrainee(Trainee):
    """Give the loss of a head, and keep each class's best CNN.

    best: the head with, per class, the CNN of the highest IoU on the selection frames so
    far; it begins as the identity, so no class falls behind the heuristic there.
    """

    network: PanopticHead
    best_iou: Tensor
    val_iou: Tensor

    def __init__(self, head: PanopticHead) -> None:
        super().__init__()
        self.network = head
        self.best = copy.deepcopy(head).requires_grad_(False)
        for class_id in head.class_ids:
            self.best.cnn(class_id).reset_parameters()
        classes = len(head.class_ids)
        self.register_buffer("best_iou", torch.full((classes,), -1.0, dtype=torch.float64))
        self.register_buffer("val_iou", torch.zeros(classes, dtype=torch.float64))

    def forward(self, batch: list[HeadSample]) -> dict[str, Tensor]:
        """Return the mean over instances of each one's mean binary cross-entropy.

        Instances count alike, whatever their size.
        """
        losses = [
            F.binary_cross_entropy_with_logits(
                self.network.cnn(class_id)(stacked[None])[0, 0].float(), target
            )
            for stacked, target, class_id in batch
        ]
        return {"binary_cross_entropy": torch.stack(losses).mean()}


class HeadSamples(Dataset):
    """Give crops of matched instances by sample number, balanced over classes."""

    def __init__(self, inputs: HeadInputs, entries: list[Entry], window: int, seed: int) -> None:
        if not entries:
            raise ValueError("the frozen networks find no instance in the training frames")
        self._inputs = inputs
        self._entries = entries
        self._window = window
        self._seed = seed
        classes = [e.class_id for e in entries]
        self._order = Order(np.array([1 / classes.count(c) for c in classes]), seed)

    def __getitem__(self, sample: int) -> HeadSample:
        """Return an instance, or a part of it where it is large."""
        rng = np.random.default_rng((self._seed, sample))
        return self._inputs.sample(self._entries[self._order[sample]], self._window, rng)


class HeadTask(Task[HeadTrainee]):
    """Hold everything that training a head needs.

    run: the folder under which the frozen networks' predictions are kept.
    """

    # A batch without a class leaves its CNN alone.
    unused_parameters = True

    def __init__(self, config: HeadConfig, train: Frames, val: Frames, run: Path) -> None:
        super().__init__(config)
        head = new_network(config, PanopticHead, "head")
        check_things(head.class_ids, self.labels)
        if head.num_semantic != len(self.labels):
            raise ValueError(
                f"architecture.num_semantic is {head.num_semantic}; label set "
                f"{self.labels.name!r} has {len(self.labels)} classes"
            )
        self.notes = warm_start(head, config.initialize)
        self.trainee = HeadTrainee(head)
        inputs, val_inputs, trained_for = predict_once(
            config, self.labels, train, val, run, head.radius
        )
        self.notes |= trained_for
        stride = config.selection_stride
        trained = [e for e in inputs.entries if e.frame % stride]
        selecting = sorted({e.frame for e in inputs.entries if e.frame % stride == 0})
        self.samples = HeadSamples(inputs, trained, config.window, config.seed)
        judged = sorted({e.frame for e in val_inputs.entries})
        self._judged = ((inputs, selecting), (val_inputs, judged))

    def validate(self, trainee: HeadTrainee, share: tuple[int, int]) -> np.ndarray:
        """Return sums of IoU, float64 [2, K, 3]: heuristic's, head's, number of instances.

        First of the selection frames, then of the validation split.
        """
        counts = np.zeros((2, len(trainee.network.class_ids), 3))
        for part, (inputs, frames) in enumerate(self._judged):
            for frame in frames[share[0] :: share[1]]:
                self._count(trainee.network, inputs, frame, counts[part])
        return counts

    def _count(
        self, head: PanopticHead, inputs: HeadInputs, frame: int, counts: np.ndarray
    ) -> None:
        """Add a frame's IoUs, float64 [K, 3], by the merging strategies' own masks."""
        device = next(head.parameters()).device
        semantic, found, truth = inputs.frame(frame, device)
        options = FusionOptions()
        heuristic = on_host(detector_masks(semantic, found, options))
        refined = on_host(ConvHead(head).masks(semantic, found, options))
        for value, *masks in zip(found.values.tolist(), heuristic, refined, strict=True):
            ious = [mask_iou(mask, truth == value) for mask in masks]
            counts[head.class_ids.index(value // INSTANCE_DIVISOR)] += (*ious, 1)

    def scores(self, trainee: HeadTrainee, counts: np.ndarray) -> Mapping[str, float]:
        """Keep the CNNs that are the best so far; return mean IoUs on the validation split.

        Per class in percent: the heuristic's, the head's (its best CNNs) and the number of
        detected instances; their means over the classes that were detected.
        """
        selection, val = counts
        number = np.maximum(counts[..., 2], 1)
        for i, class_id in enumerate(trainee.network.class_ids):
            heuristic, head = selection[i, :2] / number[0, i]
            if trainee.best_iou[i] < 0:
                trainee.best_iou[i] = heuristic
                trainee.val_iou[i] = val[i, 0] / number[1, i]
            if head > trainee.best_iou[i]:
                trainee.best_iou[i] = head
                trainee.val_iou[i] = val[i, 1] / number[1, i]
                trainee.best.cnn(class_id).load_state_dict(
                    trainee.network.cnn(class_id).state_dict()
                )
        heuristic = 100 * val[:, 0] / number[1]
        head = 100 * trainee.val_iou.cpu().numpy()
        seen = val[:, 2] > 0
        scores = {"heuristic": _mean(heuristic[seen]), "head": _mean(head[seen])}
        for i in np.flatnonzero(seen).tolist():
            name = self.labels[trainee.network.class_ids[i]].name
            scores |= {
                f"heuristic {name}": float(heuristic[i]),
                f"head {name}": float(head[i]),
                f"instances {name}": float(val[i, 2]),
            }
        return scores


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
