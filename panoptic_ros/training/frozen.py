"""Frozen networks, on whose predictions a merge's own network trains."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from panoptic_ros.checkpoints import find
from panoptic_ros.labels import LabelSet
from panoptic_ros.model.build import build_networks, identities
from panoptic_ros.model.config import ModelConfig, NetworkConfig, load_model_config
from panoptic_ros.resources import expanded
from panoptic_ros.training.frames import Frames
from panoptic_ros.training.head_inputs import INDEX, prepare
from panoptic_ros.training.settings import TrainingConfig, require


@dataclass(frozen=True)
class FrozenConfig(TrainingConfig):
    """Add to the common settings which networks are frozen.

    model: a model file (name or path) whose networks are frozen, with the sizes of image
    and the rules that they run with; or, at the frames' own size, network: the checkpoint of
    a shared one (a name of weights, or a path without suffix), or semantic, instance: those
    of two, or their ONNX descriptions (.yaml);
    least_score: detections below it are no training samples, 0..1.
    """

    model: str = ""
    network: str = ""
    semantic: str = ""
    instance: str = ""
    least_score: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(map(bool, (self.model, self.network, self.semantic or self.instance))) > 1:
            raise ValueError("set model, or network, or semantic and instance: one of them")
        for name in ("semantic", "instance"):
            if not (self.model or self.network or getattr(self, name)):
                raise ValueError(
                    f"set {name}: the checkpoint of the frozen {name} network "
                    "(or set model, or network)"
                )
        require(self, ("least_score",), 0, 1)


def predict_once(
    config: FrozenConfig, labels: LabelSet, splits: Mapping[str, Frames], run: Path
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Keep the frozen networks' predictions in RUN/inputs/SPLIT, unless a former run did.

    Return the folders by split, and `trained_for` for the side file. Raise ValueError or
    FileNotFoundError for networks that cannot be built.
    """
    folders = {split: run / "inputs" / split for split in splits}
    state = PartialState(cpu=not torch.cuda.is_available())
    with state.local_main_process_first():
        if not all((folder / INDEX).is_file() for folder in folders.values()):
            networks = build_networks(_frozen(config, labels), state.device)
            for split, folder in folders.items():
                prepare(folder, splits[split], networks, config.least_score)
    with contextlib.suppress(FileNotFoundError):  # inputs of a former run may outlive them
        return folders, {"trained_for": identities(_frozen(config, labels))}
    return folders, {}


def _frozen(config: FrozenConfig, labels: LabelSet) -> ModelConfig:
    """Return the frozen networks as parts of a model."""
    if config.model:
        model = load_model_config(config.model)
        if model.labels.name != labels.name:
            raise ValueError(
                f"model {model.name!r} is for label set {model.labels.name!r}, "
                f"the head for {labels.name!r}"
            )
        return model
    semantic, instances, network = (
        NetworkConfig(str(find(name) or expanded(name))) if name else None
        for name in (config.semantic, config.instance, config.network)
    )
    return ModelConfig(
        name="frozen", labels=labels, semantic=semantic, instances=instances, network=network
    )
