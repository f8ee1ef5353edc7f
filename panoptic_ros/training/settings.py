"""Training settings: YAML files under config/training/, with overrides from the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from panoptic_ros.documents import make, mapping, parse_yaml, read_yaml
from panoptic_ros.messages.images import MAX_PIXELS

PRECISIONS = ("no", "bf16", "fp16")
# Of accelerate; TensorBoard's files are written in any case.
TRACKERS = ("tensorboard", "wandb", "mlflow")
OPTIMIZERS = ("adamw", "sgd")
# More is a slip of the hand, which takes all memory or never ends.
MOST_STEPS, MOST_FRAMES, MOST_WORKERS = 1 << 40, 1 << 16, 1 << 10
# NumPy's seeds have 32 bits, and each step adds to the settings'.
LARGEST_SEED = (1 << 31) - 1
SMALLEST_SCALE, LARGEST_SCALE = 1 / 64, 8.0
# Of brightness, contrast, saturation and sharpness: all is white or grey long before.
LARGEST_CHANGE = 10.0
# Of learning rates, decay and losses' weights: torch's numbers end at 3e38.
LARGEST_FACTOR = 1e6
MOST_MINUTES = 366 * 24 * 60
Config = TypeVar("Config")


@dataclass(frozen=True)
class OptimizerConfig:
    """Set the optimiser and its polynomial schedule with linear warm-up.

    lr at step s: lr * min(1, (s + 1) / warmup) * (1 - s / steps) ** power
    (Chen et al. 2018, DeepLabv3+, power 0.9). With TrainingConfig.minutes the share of the
    time takes the place of s / steps. backbone_lr: factor on it for the backbone, where the
    network has one. clip_norm: largest gradient norm.
    """

    name: str = "adamw"
    lr: float = 1e-3
    backbone_lr: float = 1.0
    weight_decay: float = 1e-2
    warmup: int = 100
    power: float = 0.9
    clip_norm: float = 10.0

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise ValueError(f"name is {self.name!r}; known: {', '.join(OPTIMIZERS)}")
        for name in ("lr", "backbone_lr", "clip_norm", "warmup"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be > 0")
        require(self, ("lr", "backbone_lr", "weight_decay", "power"), 0, LARGEST_FACTOR)


@dataclass(frozen=True)
class AugmentationConfig:
    """Set the random changes to a training frame.

    crop: (height, width) of the result in pixels; scale: smallest and largest factor on the
    frame; flip: probability; brightness, contrast, saturation: largest relative change;
    sharpness: the same, of what a blur over 3x3 pixels takes away; hue: largest shift as a share
    of the colour circle (0..0.5).
    """

    crop: tuple[int, int] = (512, 1024)
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.02
    sharpness: float = 0.0

    def __post_init__(self) -> None:
        if min(self.crop) < 1:
            raise ValueError(f"crop is {self.crop}; both sides must be >= 1")
        if self.crop[0] * self.crop[1] > MAX_PIXELS:
            raise ValueError(f"crop is {self.crop}, more than {MAX_PIXELS} pixels")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale is {self.scale}; needs 0 < smallest <= largest")
        if self.scale[0] < SMALLEST_SCALE or self.scale[1] > LARGEST_SCALE:
            raise ValueError(f"scale is {self.scale}; it must be in 1/64..{LARGEST_SCALE:g}")
        require(self, ("flip",), 0, 1)
        require(self, ("brightness", "contrast", "saturation", "sharpness"), 0, LARGEST_CHANGE)
        require(self, ("hue",), 0, 0.5)


@dataclass(frozen=True)
class TrainingConfig:
    """Hold what every training has in common.

    batch_size: frames per step over all processes together; steps: optimiser steps;
    intervals: steps between checkpoints and between validations; validation_frames: at
    most so many frames per validation (0: all); workers: loader processes per training
    process; initialize: weights to start from (`warm_start`); log_interval: steps between
    log lines; trackers: where losses and scores go beside the run's own files, of TRACKERS;
    minutes: if not 0, training ends after so long instead of after `steps`, by
    the clock while it runs; reading labels before and the last validation come on top.
    """

    architecture: dict[str, Any]
    dataset: str = "cityscapes"
    label_set: str = "cityscapes"
    train_split: str = "train"
    val_split: str = "val"
    seed: int = 0
    batch_size: int = 8
    steps: int = 1000
    minutes: float = 0.0
    mixed_precision: str = "no"
    workers: int = 2
    log_interval: int = 10
    checkpoint_interval: int = 100
    validation_interval: int = 500
    validation_frames: int = 0
    initialize: str = ""
    trackers: tuple[str, ...] = ("tensorboard",)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        if self.mixed_precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise ValueError(f"mixed_precision is {self.mixed_precision!r}; known: {known}")
        unknown = [name for name in self.trackers if name not in TRACKERS]
        if unknown:
            raise ValueError(f"trackers: {unknown[0]!r} is unknown; known: {', '.join(TRACKERS)}")
        require(self, ("log_interval", "checkpoint_interval", "validation_interval"), 1)
        require(self, ("steps",), 1, MOST_STEPS)
        require(self, ("batch_size",), 1, MOST_FRAMES)
        require(self, ("workers",), 0, MOST_WORKERS)
        require(self, ("seed",), 0, LARGEST_SEED)
        require(self, ("minutes",), 0, MOST_MINUTES)
        require(self, ("validation_frames",), 0)


def require(settings: object, names: Sequence[str], least: float, most: float = math.inf) -> None:
    """Raise ValueError that names the first of some settings that is below or above its limits."""
    for name in names:
        value = getattr(settings, name)
        if not least <= value <= most:
            allowed = f">= {least}" if most == math.inf else f"in {least:.15g}..{most:.15g}"
            raise ValueError(f"{name} is {value}; it must be {allowed}")


def read(kind: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Return settings from a YAML file, changed by overrides such as `optimizer.lr=1e-3`.

    Raise FileNotFoundError for a missing file; ValueError that names file and key for an
    unknown key or a value of the wrong type, and the override that is not KEY=VALUE or no YAML.
    """
    values = dict(mapping(read_yaml(path) or {}, str(path)))
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise ValueError(f"override {override!r} is not KEY=VALUE, such as optimizer.lr=1e-3")
        value = parse_yaml(text, f"override {override!r}")
        _assign(values, key.strip().split("."), value)
    return make(kind, values, str(path))


def plain(config: object) -> Any:
    """Return a settings dataclass (or a value of one) as JSON and YAML can hold it."""
    if is_dataclass(config) and not isinstance(config, type):
        config = asdict(config)
    if isinstance(config, dict):
        return {key: plain(value) for key, value in config.items()}
    return [plain(value) for value in config] if isinstance(config, (list, tuple)) else config


def flat(config: object) -> dict[str, str | int | float]:
    """Return settings by their full names, such as `optimizer.lr`; groups and lists as text."""
    found: dict[str, str | int | float] = {}

    def add(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                add(part, f"{name}.{key}" if name else str(key))
        else:
            found[name] = value if isinstance(value, (str, int, float)) else str(value)

    add(plain(config), "")
    return found


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        # An empty group is null to YAML.
        values[key] = {} if values.get(key) is None else values[key]
        values = values[key]
        if not isinstance(values, dict):
            raise ValueError(f"override of {'.'.join(keys)}: {key} is no group of settings")
    values[keys[-1]] = value
