"""Model files: which networks, which weights, which merge (config/models/*.yaml)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from panoptic_ros import resources
from panoptic_ros.checkpoints import find
from panoptic_ros.documents import make, named, read_yaml
from panoptic_ros.fusion import STRATEGIES, FusionOptions
from panoptic_ros.labels import LabelSet, label_set
from panoptic_ros.messages.images import MAX_PIXELS

RANDOM = "random"
# What can run the networks (model/engines/).
ENGINES = ("eager", "onnx", "openvino", "tensorrt", "cuda_graph", "compile", "auto")
_NETWORKS = ("semantic", "instances", "network", "head", "expert")
# Files of networks as a graph: ONNX's, OpenVINO's.
GRAPHS = (".onnx", ".xml")
# Files of other projects' checkpoints.
CHECKPOINTS = (".pt", ".pth", ".pkl", ".ckpt", ".bin", ".safetensors")


@dataclass(frozen=True)
class NetworkConfig:
    """Say where a network's weights come from and what image it wants to see.

    weights: `random`, the path of a checkpoint without suffix, or the description of an ONNX
    network (.yaml); architecture: for random weights only; short_side, long_side: pixels, 0
    sets no limit, and enlarge, whether smaller images are scaled up to them: see `Limits`;
    find_riders: for instances only, see `InstancePredictor`.
    Raise ValueError that names the field.
    """

    weights: str
    architecture: Mapping[str, Any] | None = None
    short_side: int = 0
    long_side: int = 0
    enlarge: bool = True
    find_riders: bool = False

    def __post_init__(self) -> None:
        if not self.weights:
            raise ValueError(f"weights is empty; it must be a name, a path or {RANDOM}")
        if (self.weights == RANDOM) != isinstance(self.architecture, Mapping):
            raise ValueError(
                f"architecture is needed with `weights: {RANDOM}` and only there; "
                "a checkpoint brings its own"
            )
        for name in ("short_side", "long_side"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"{name} is {value}; it must be a number of pixels, 0 for none")


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """Hold what a model file says as it stands there, but for its networks' paths.

    Raise ValueError for an engine that there is none of.
    """

    semantic: NetworkConfig | None = None
    instances: NetworkConfig | None = None
    network: NetworkConfig | None = None
    head: NetworkConfig | None = None
    expert: NetworkConfig | None = None
    fusion: str = "stack"
    seed: int = 0
    max_pixels: int = MAX_PIXELS
    engine: str = ""
    half: bool = True

    def __post_init__(self) -> None:
        if self.engine and self.engine not in ENGINES:
            raise ValueError(f"engine is {self.engine!r}; known: {', '.join(ENGINES)}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(_Settings):
    """Hold a model file: its networks, perhaps a head, and how to merge.

    Two networks of their own, semantic and instances, or one with a shared backbone, network;
    expert: the description of a network that decides one class of the semantic prediction;
    name: the file's; weights are absolute paths, or `random`; seed: of random weights;
    max_pixels: larger images are refused; engine: what runs the networks, see `model.engines`, "":
    a CUDA graph on a GPU, torch elsewhere;
    half: whether it may compute in float16 on a GPU.
    """

    name: str
    labels: LabelSet
    options: FusionOptions = field(default_factory=FusionOptions)

    @property
    def merged(self) -> dict[str, NetworkConfig]:
        """The networks whose answer is merged, by their keys in a model file."""
        parts = {"semantic": self.semantic, "instances": self.instances, "network": self.network}
        return {part: entry for part, entry in parts.items() if entry is not None}


@dataclass(frozen=True, kw_only=True)
class _File(_Settings):
    """Hold the keys of a model file; those without a default must be there."""

    label_set: str
    options: FusionOptions | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        halves = [part for part in (self.semantic, self.instances) if part is not None]
        if len(halves) != (0 if self.network else 2):
            raise ValueError(
                "write semantic and instances, two networks, or network alone, a shared one"
            )


def load_model_config(model: str | Path) -> ModelConfig:
    """Read a model file.

    model: NAME of config/models/NAME.yaml, or the path of a .yaml file.
    Raise FileNotFoundError that lists the names there are; ValueError that names file and
    key where a key is unknown, missing or has an impossible value.
    """
    file = _find(model)
    content = read_yaml(file)
    if isinstance(content, Mapping) and {"file", "task"} <= content.keys():
        raise ValueError(f"{file} describes a network and is no model file; {_in_a_model(file)}")
    raw = make(_File, content, str(file))

    def placed(key: str) -> NetworkConfig | None:
        entry: NetworkConfig | None = getattr(raw, key)
        if entry is None or entry.weights == RANDOM:
            return entry
        path = named(f"{file}: {key}", lambda: _weights_path(entry.weights, file.parent))
        return replace(entry, weights=str(path))

    if raw.fusion not in STRATEGIES:
        raise ValueError(f"{file}: fusion is {raw.fusion!r}; known: {', '.join(STRATEGIES)}")
    if raw.max_pixels < 1:
        raise ValueError(f"{file}: max_pixels is {raw.max_pixels}; it must be at least 1")
    settings = {setting.name: getattr(raw, setting.name) for setting in fields(_Settings)}
    return ModelConfig(
        name=file.stem,
        labels=named(f"{file}: label_set", lambda: label_set(raw.label_set)),
        options=raw.options or FusionOptions(),
        **settings | {part: placed(part) for part in _NETWORKS},
    )


def _find(model: str | Path) -> Path:
    """Return the path of a model file."""
    if Path(model).suffix in (".yaml", ".yml"):
        # Not resolve(), which has an error of its own for a link to itself.
        file = Path(os.path.realpath(resources.expanded(model)))
        if not file.is_file():
            raise FileNotFoundError(f"there is no model file {file}")
        return file
    if Path(model).suffix.lower() in GRAPHS:
        file = Path(model).with_suffix(".yaml")
        raise ValueError(
            f"{model} is a network and no model file; describe it in {file} (docs/weights.md) "
            f"and {_in_a_model(file)}"
        )
    folder = resources.share_dir() / "config" / "models"
    file = folder / f"{model}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(f.stem for f in folder.glob("*.yaml")))
        raise FileNotFoundError(
            f"there is no model {str(model)!r}; {folder} has: {known}; "
            "or give the path of a .yaml file"
        )
    return file


def _in_a_model(description: Path) -> str:
    return (
        "name it in a copy of one of config/models, for a semantic network by\n"
        f"semantic:\n  weights: {description.resolve()}"
    )


def _weights_path(weights: str, folder: Path) -> Path:
    """Return where weights lie: a path seen from a model file's folder, or a name.

    The error for missing weights names the place where they would be installed.
    Raise ValueError that says what to write for a file that is no weights of ours.
    """
    path = folder / resources.expanded(weights)
    is_ours = path.with_name(f"{path.name}.json").is_file()
    suffix = "" if is_ours else path.suffix.lower()
    if suffix in GRAPHS:
        raise ValueError(
            f"weights is {weights!r}; describe the network in a .yaml beside it "
            f"(docs/weights.md) and write `weights: ./{path.stem}.yaml`"
        )
    if suffix in (".safetensors", ".json") and path.with_suffix(".json").is_file():
        raise ValueError(f"weights is {weights!r}; write `weights: ./{path.stem}`, no suffix")
    if suffix in CHECKPOINTS:
        raise ValueError(
            f"weights is {weights!r}; convert the file by `python -m panoptic_ros weights import "
            f"{weights} --as {path.stem}` and write `weights: {path.stem}`"
        )
    if weights.startswith((".", "/", "~")):
        if not (is_ours or suffix) and path.with_name(f"{path.name}.yaml").is_file():
            raise ValueError(f"weights is {weights!r}; write `weights: {weights}.yaml`")
        return path
    if suffix in (".yaml", ".yml"):
        raise ValueError(
            f"weights is {weights!r}; a description is named by its path: write "
            f"`weights: ./{weights}`" + ("" if path.is_file() else f" (there is no {path} yet)")
        )
    return find(weights) or resources.share_dir() / "weights" / weights
