"""Train OANet's spatial ranking module on the predictions of frozen networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.spatial_ranking import falling_ranks, occupied
from panoptic_ros.fusion.stack import detector_masks
from panoptic_ros.labels import class_ids
from panoptic_ros.networks import SpatialRanking
from panoptic_ros.prediction import on_host
from panoptic_ros.training.frames import Frames
from panoptic_ros.training.frozen import FrozenConfig, check_things, predict_once
from panoptic_ros.training.head_inputs import HeadInputs
from panoptic_ros.training.sampling import Order
from panoptic_ros.training.targets import IGNORE
from panoptic_ros.training.task import Task, Trainee, new_network
from panoptic_ros.training.warm_start import warm_start
from panoptic_ros.upsampling import Box

Sample = tuple[Tensor, Tensor]
CPU = torch.device("cpu")


class RankingTrainee(Trainee):
    """Give the loss of a ranking module."""

    network: SpatialRanking

    def __init__(self, network: SpatialRanking) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: list[Sample]) -> dict[str, Tensor]:
        """Return the mean over frames of each one's cross-entropy."""
        losses = [
            F.cross_entropy(self.network(seen[None]).float(), target[None], ignore_index=IGNORE)
            for seen, target in batch
        ]
        return {"cross_entropy": torch.stack(losses).mean()}


class RankingSamples(Dataset):
    """Give frames by sample number: where instances are, and who is in front.

    frames: numbers of frames with instances; class_ids: the module's channels.
    """

    def __init__(
        self, inputs: HeadInputs, frames: Sequence[int], class_ids: Sequence[int], seed: int
    ) -> None:
        if not frames:
            raise ValueError("the frozen networks find no instance in the training frames")
        self._inputs = inputs
        self._frames = frames
        self._class_ids = class_ids
        self._order = Order(np.ones(len(frames)), seed)

    def __getitem__(self, sample: int) -> Sample:
        """Return what the module sees, float [K, H, W], and the true channel, int64 [H, W].

        255 where no instance is: of the truth, or of the detector's.
        """
        frame = self._frames[self._order[sample]]
        semantic, found, truth = self._inputs.frame(frame, CPU)
        crops = detector_masks(semantic, found, FusionOptions())
        seen = occupied(self._class_ids, found, crops, semantic.image_size)
        target = torch.full(truth.shape, IGNORE)
        classes = torch.from_numpy(class_ids(truth).astype(np.int64))
        for channel, class_id in enumerate(self._class_ids):
            target[classes == class_id] = channel
        return seen, target.masked_fill_(~seen.any(0), IGNORE)


class RankingTask(Task[RankingTrainee]):
    """Hold everything that training a ranking module needs.

    run: the folder under which the frozen networks' predictions are kept. Raise ValueError
    for another architecture, and where the networks find no instance.
    """

    chosen_by = "by rank"

    def __init__(self, config: FrozenConfig, train: Frames, val: Frames, run: Path) -> None:
        super().__init__(config)
        ranking = new_network(config, SpatialRanking, "ranking")
        check_things(ranking.class_ids, self.labels)
        self.notes = warm_start(ranking, config.initialize)
        self.trainee = RankingTrainee(ranking)
        inputs, self._val, trained_for = predict_once(config, self.labels, train, val, run, 0)
        self.notes |= trained_for
        self.samples = RankingSamples(inputs, _numbers(inputs), ranking.class_ids, config.seed)

    def validate(self, trainee: RankingTrainee, share: tuple[int, int]) -> np.ndarray:
        """Return contested pixels that go to the right instance by score and by rank, and all.

        int64 [3]. Contested: two masks or more, one of them of the true instance.
        """
        counts = np.zeros(3, np.int64)
        device = next(trainee.network.parameters()).device
        for frame in _numbers(self._val)[share[0] :: share[1]]:
            semantic, found, truth = self._val.frame(frame, device)
            crops = detector_masks(semantic, found, FusionOptions())
            by_rank = falling_ranks(trainee.network, found, crops, semantic.image_size)
            masks = on_host(crops)
            contested = _contested(masks, found.values, truth)
            # The detections come by falling score.
            for i, order in enumerate((np.arange(len(masks)), by_rank)):
                owners = _owners([masks[j] for j in order], found.values[order], truth.shape)
                counts[i] += (contested & (owners == truth)).sum()
            counts[2] += contested.sum()
        return counts

    def scores(self, trainee: RankingTrainee, counts: np.ndarray) -> Mapping[str, float]:
        """Return the share of contested pixels that are right by score and by rank, in percent."""
        by_score, by_rank, contested = counts.tolist()
        return {
            "by score": 100 * by_score / max(contested, 1),
            "by rank": 100 * by_rank / max(contested, 1),
            "contested pixels": float(contested),
        }


def _numbers(inputs: HeadInputs) -> list[int]:
    """Return the frames with instances."""
    return sorted({entry.frame for entry in inputs.entries})


def _owners(
    masks: Sequence[tuple[Box, np.ndarray]], values: np.ndarray, size: tuple[int, ...]
) -> np.ndarray:
    """Return the value of the first mask that holds a pixel, int64 [H, W], 0 for none."""
    owners = np.zeros(size, np.int64)
    for ((x0, y0, x1, y1), mask), value in zip(masks[::-1], values[::-1], strict=True):
        owners[y0:y1, x0:x1][mask] = value
    return owners


def _contested(
    masks: Iterable[tuple[Box, np.ndarray]], values: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """Return the pixels in two masks or more, one of them the true instance's, bool [H, W]."""
    count, can_be_right = np.zeros(truth.shape, np.int64), np.zeros(truth.shape, bool)
    for ((x0, y0, x1, y1), mask), value in zip(masks, values, strict=True):
        count[y0:y1, x0:x1] += mask
        can_be_right[y0:y1, x0:x1] |= mask & (truth[y0:y1, x0:x1] == value)
    return (count > 1) & can_be_right
