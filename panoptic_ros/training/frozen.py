"""Frozen networks, on whose predictions a merge's own network trains."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from panoptic_ros.checkpoints import find
from panoptic_ros.documents import mapping, read_json
from panoptic_ros.labels import LabelSet
from panoptic_ros.model.build import build_networks, identities
from panoptic_ros.model.config import ModelConfig, NetworkConfig, load_model_config
from panoptic_ros.resources import expanded
from panoptic_ros.training.frames import Frames
from panoptic_ros.training.head_inputs import INDEX, HeadInputs, prepare
from panoptic_ros.training.settings import TrainingConfig, require
from panoptic_ros.whole_files import write_json

# Beside the folders of predictions.
MADE_OF = "made_of.json"


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


def check_things(class_ids: Sequence[int], labels: LabelSet) -> None:
    """Raise ValueError for a head of other classes than the things: no model takes it."""
    things = [c.id for c in labels.things]
    if sorted(class_ids) != sorted(things):
        raise ValueError(
            f"architecture.class_ids is {list(class_ids)}; the things of label set "
            f"{labels.name!r} are {things}"
        )


def predict_once(
    config: FrozenConfig, labels: LabelSet, train: Frames, val: Frames, run: Path, radius: int
) -> tuple[HeadInputs, HeadInputs, dict[str, Any]]:
    """Keep the frozen networks' predictions in RUN/inputs/SPLIT, unless a former run did.

    radius: the head's. Return what was made of both splits, and `trained_for` for the side file.
    Raise ValueError or FileNotFoundError for networks that cannot be built, ValueError where a
    former run predicted other frames, or by other settings.
    """
    splits = {run / "inputs" / "train": train, run / "inputs" / "val": val}
    state = PartialState(cpu=not torch.cuda.is_available())
    with state.local_main_process_first():
        known = [(folder / INDEX).is_file() for folder in splits]
        _check_former(run / "inputs", _made_of(config, labels, splits), is_known=any(known))
        if not all(known):
            networks = build_networks(_frozen(config, labels), state.device)
            for folder, frames in splits.items():
                prepare(folder, frames, networks, config.least_score)
    notes = {}
    with contextlib.suppress(FileNotFoundError):  # inputs of a former run may outlive them
        notes["trained_for"] = identities(_frozen(config, labels))
    of_train, of_val = (HeadInputs(*split, labels, radius) for split in splits.items())
    return of_train, of_val, notes


def _made_of(
    config: FrozenConfig, labels: LabelSet, splits: Mapping[Path, Frames]
) -> dict[str, Any]:
    """Return what predictions are made of, as JSON holds it: frames, networks, their settings."""
    facts: dict[str, Any] = {"least_score": config.least_score}
    for split, frames in splits.items():
        lines = "".join(f"{frame.name} {frame.image.stat().st_size}\n" for frame in frames)
        digest = hashlib.sha256(lines.encode(errors="backslashreplace")).hexdigest()[:16]
        facts[f"frames of {split.name}"] = f"{len(frames)} ({digest})"
    with contextlib.suppress(FileNotFoundError):  # inputs of a former run may outlive them
        model = _frozen(config, labels)
        for part in ("semantic", "instances", "network"):
            if entry := getattr(model, part):
                sizes = entry.short_side, entry.long_side, entry.enlarge, entry.find_riders
                facts[f"sizes of {part}"] = list(sizes)
        facts["networks"] = identities(model)
    return facts


def _check_former(folder: Path, facts: Mapping[str, Any], *, is_known: bool) -> None:
    """Note what predictions are made of; raise ValueError where others lie in their folder."""
    file = folder / MADE_OF
    if not is_known:
        write_json(file, facts)
    elif file.is_file():
        before = mapping(read_json(file), str(file))
        changed = [
            f"{name} was {before[name]} and is {value}"
            for name, value in facts.items()
            if name in before and before[name] != value
        ]
        if changed:
            raise ValueError(
                f"{folder} holds predictions of another training: {'; '.join(changed)}; choose "
                f"another --run, or delete {folder.parent} to start anew"
            )


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
