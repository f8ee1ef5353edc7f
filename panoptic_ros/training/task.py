"""What the training loop asks of a task: semantic, instance or head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from panoptic_ros.labels import LabelSet, label_set
from panoptic_ros.networks import NETWORKS, build
from panoptic_ros.training.settings import TrainingConfig
from panoptic_ros.training.warm_start import find_backbone


class Trainee(nn.Module, ABC):
    """Wrap a network so that a call gives its losses: what data-parallel training needs."""

    network: nn.Module

    @property
    def backbone(self) -> nn.Module | None:
        """Return the part that `optimizer.backbone_lr` is for; None: there is none."""
        return find_backbone(self.network)

    @abstractmethod
    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Return the losses of a collated batch, scalars; their sum is minimised."""


T = TypeVar("T", bound=Trainee)
N = TypeVar("N", bound=nn.Module)


def new_network(config: TrainingConfig, kind: type[N], training: str) -> N:
    """Return a network with the seed's random weights; raise ValueError for another kind.

    training: what `train` calls the task.
    """
    torch.manual_seed(config.seed)
    network = build(config.architecture)
    if not isinstance(network, kind):
        (name,) = (name for name, known in NETWORKS.items() if known is kind)
        given = config.architecture.get("name")
        raise ValueError(f"architecture.name is {given!r}; train {training} needs {name}")
    return network


class Task(ABC, Generic[T]):
    """Hold the data, the network and the scores of one kind of training.

    config: its settings; labels: their label set; trainee: the module that is trained; samples:
    the data set of training samples, indexed by sample number without end; unused_parameters:
    whether a step may leave parameters without a gradient; chosen_by: the score whose highest
    value says which validated state is the result, empty: the last one is; notes: more for the
    side file.
    """

    config: TrainingConfig
    trainee: T
    samples: Dataset
    unused_parameters = False
    chosen_by = ""
    notes: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.labels: LabelSet = label_set(config.label_set)

    def collate(self, samples: list[Any]) -> Any:
        """Return a batch from samples; here the samples themselves, whose sizes may differ."""
        return samples

    @abstractmethod
    def validate(self, trainee: T, share: tuple[int, int]) -> np.ndarray:
        """Return counts over frames i, i + n, ... of the validation set, for share (i, n).

        The counts of all processes are added up.
        """

    @abstractmethod
    def scores(self, trainee: T, counts: np.ndarray) -> Mapping[str, float]:
        """Return scores in percent from the counts of the whole validation set."""

    def pictures(self, trainee: T) -> Mapping[str, np.ndarray]:
        """Return pictures of what is learned, uint8 [H, W, 3], RGB, by name; here none."""
        return {}
