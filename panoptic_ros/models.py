"""Model files: which networks, which weights, which merge (config/models/*.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
import yaml
from torch import nn

from panoptic_ros import checkpoints, resources
from panoptic_ros.fusion import STRATEGIES
from panoptic_ros.fusion.options import FusionOptions
from panoptic_ros.labels import LabelSet, label_set
from panoptic_ros.networks import DeepLabV3Plus, MaskRCNNDetector, PanopticHead, build
from panoptic_ros.predictors import InstancePredictor, SemanticPredictor

RANDOM = "random"
T = TypeVar("T")


@dataclass(frozen=True)
class NetworkConfig:
    """Say where a network's weights come from and what image it wants to see.

    weights: `random`, or the path of a checkpoint without suffix; architecture: for random
    weights only; short_side, long_side: pixels, 0 sets no limit (see `Predictor`).
    Raise ValueError that names the field.
    """

    weights: str
    architecture: Mapping[str, Any] | None = None
    short_side: int = 0
    long_side: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.weights, str) or not self.weights:
            raise ValueError(f"weights is {self.weights!r}; it must be a name, a path or {RANDOM}")
        if (self.weights == RANDOM) != isinstance(self.architecture, Mapping):
            raise ValueError(
                f"architecture is needed with `weights: {RANDOM}` and only there; "
                "a checkpoint brings its own"
            )
        for name in ("short_side", "long_side"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} is {value!r}; it must be a number of pixels, 0 for none")


@dataclass(frozen=True)
class ModelConfig:
    """Hold a model file: two networks, perhaps a head, and how to merge.

    name: the file's; weights are absolute paths, or `random`; seed: of random weights.
    """

    name: str
    labels: LabelSet
    semantic: NetworkConfig
    instances: NetworkConfig
    head: NetworkConfig | None
    fusion: str
    options: FusionOptions
    seed: int


@dataclass(frozen=True)
class _File:
    """Hold the keys of a model file; those without a default must be there."""

    label_set: str
    semantic: Mapping[str, Any]
    instances: Mapping[str, Any]
    head: Mapping[str, Any] | None = None
    fusion: str = "stack"
    options: Mapping[str, Any] | None = None
    seed: int = 0


def load_model_config(model: str | Path) -> ModelConfig:
    """Read a model file.

    model: NAME of config/models/NAME.yaml, or the path of a .yaml file.
    Raise FileNotFoundError that lists the names there are; ValueError that names file and
    key where a key is unknown, missing or has an impossible value.
    """
    file = _find(model)
    try:
        content = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is not YAML: {error}") from error
    raw = _checked(_File, content, f"{file}")

    def network(key: str) -> NetworkConfig:
        entry = dict(_mapping(getattr(raw, key), f"{file}: {key}"))
        if isinstance(entry.get("weights"), str) and entry["weights"] != RANDOM:
            entry["weights"] = str(_weights_path(entry["weights"], file.parent))
        return _checked(NetworkConfig, entry, f"{file}: {key}")

    if raw.fusion not in tuple(STRATEGIES):
        raise ValueError(f"{file}: fusion is {raw.fusion!r}; known: {', '.join(STRATEGIES)}")
    if not isinstance(raw.seed, int):
        raise ValueError(f"{file}: seed is {raw.seed!r}; it must be an integer")
    options = _mapping(raw.options or {}, f"{file}: options")
    _mapping(options.get("class_limits", {}), f"{file}: options: class_limits")
    return ModelConfig(
        name=file.stem,
        labels=_named(f"{file}: label_set", lambda: label_set(raw.label_set)),
        semantic=network("semantic"),
        instances=network("instances"),
        head=None if raw.head is None else network("head"),
        fusion=raw.fusion,
        options=_checked(FusionOptions, options, f"{file}: options"),
        seed=raw.seed,
    )


def build_predictors(
    config: ModelConfig, device: torch.device | str
) -> tuple[SemanticPredictor, InstancePredictor, PanopticHead | None]:
    """Return the networks of a model on a device, ready for images, and its head if any.

    Raise FileNotFoundError for missing weights; ValueError where weights are damaged, are
    another kind of network, or know other classes than the model's label set.
    """
    semantic = SemanticPredictor(
        _network(config, "semantic", DeepLabV3Plus, device),
        config.labels,
        config.semantic.short_side,
        config.semantic.long_side,
    )
    instances = InstancePredictor(
        _network(config, "instances", MaskRCNNDetector, device),
        config.labels,
        config.instances.short_side,
        config.instances.long_side,
    )
    if config.head is None:
        return semantic, instances, None
    head = _network(config, "head", PanopticHead, device)
    things = {c.id for c in config.labels.things}
    if set(head.class_ids) != things or head.num_semantic != len(config.labels):
        raise ValueError(
            f"model {config.name!r}: the head is for classes {head.class_ids} among "
            f"{head.num_semantic}, label set {config.labels.name!r} has {sorted(things)} "
            f"among {len(config.labels)}"
        )
    return semantic, instances, head


def _network(config: ModelConfig, part: str, kind: type[T], device: torch.device | str) -> T:
    """Build one of a model's networks and check that it is what the part needs."""
    entry: NetworkConfig = getattr(config, part)
    where = f"model {config.name!r}, {part}"
    if entry.weights == RANDOM:
        network = _named(where, lambda: _random(entry.architecture, config.seed))
        network = network.to(device).eval()
    else:
        try:
            network, side = checkpoints.load(entry.weights, device)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{where}: {error}; train it or choose another model"
            ) from error
        if side["label_set"] != config.labels.name:
            raise ValueError(
                f"{where}: {entry.weights} was trained for label set {side['label_set']!r}, "
                f"the model's is {config.labels.name!r}"
            )
    if not isinstance(network, kind):
        raise ValueError(f"{where}: needs a {kind.__name__}, not a {type(network).__name__}")
    return network


def _random(architecture: Mapping[str, Any], seed: int) -> nn.Module:
    """Build a network with the weights of a seed; the caller's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(architecture)


def _find(model: str | Path) -> Path:
    """Return the path of a model file."""
    if Path(model).suffix in (".yaml", ".yml"):
        file = Path(model).expanduser().resolve()
        if not file.is_file():
            raise FileNotFoundError(f"there is no model file {file}")
        return file
    folder = resources.share_dir() / "config" / "models"
    file = folder / f"{model}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(f.stem for f in folder.glob("*.yaml")))
        raise FileNotFoundError(
            f"there is no model {str(model)!r}; {folder} has: {known}; "
            "or give the path of a .yaml file"
        )
    return file


def _weights_path(weights: str, folder: Path) -> Path:
    """Return where weights lie: a path seen from a model file's folder, or a packaged name."""
    if weights.startswith((".", "/", "~")):
        return folder / Path(weights).expanduser()
    return resources.share_dir() / "weights" / weights


def _checked(kind: Callable[..., T], content: Any, where: str) -> T:
    """Make a dataclass of a mapping; raise ValueError for keys it does not know or lacks."""
    entries = _mapping(content, where)
    known = {f.name: f for f in fields(kind)}
    for key in entries:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
    for name, field in known.items():
        optional = field.default is not MISSING or field.default_factory is not MISSING
        if not optional and name not in entries:
            raise ValueError(f"{where}: {name} is missing")
    return _named(where, lambda: kind(**entries))


def _mapping(content: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, not {content!r}")
    return content


def _named(where: str, make: Callable[[], T]) -> T:
    """Return what `make` makes, its errors told with the place they come from."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error
