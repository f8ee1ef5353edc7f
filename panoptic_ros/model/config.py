"""Model files: which networks, which weights, which merge (config/models/*.yaml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from panoptic_ros import resources
from panoptic_ros.checkpoints import find
from panoptic_ros.fusion import STRATEGIES
from panoptic_ros.fusion.fusion_options import FusionOptions
from panoptic_ros.labels import LabelSet, label_set

RANDOM = "random"
T = TypeVar("T")


@dataclass(frozen=True)
class NetworkConfig:
    """Say where a network's weights come from and what image it wants to see.

    weights: `random`, the path of a checkpoint without suffix, or the description of an ONNX
    network (.yaml); architecture: for random weights only; short_side, long_side: pixels, 0
    sets no limit (see `Predictor`); find_riders: for instances only, see `InstancePredictor`.
    Raise ValueError that names the field.
    """

    weights: str
    architecture: Mapping[str, Any] | None = None
    short_side: int = 0
    long_side: int = 0
    find_riders: bool = False

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
        if not isinstance(self.find_riders, bool):
            raise ValueError(f"find_riders is {self.find_riders!r}; it must be true or false")


@dataclass(frozen=True)
class ModelConfig:
    """Hold a model file: two networks, perhaps a head, and how to merge.

    name: the file's; weights are absolute paths, or `random`; seed: of random weights.
    """

    name: str
    labels: LabelSet
    semantic: NetworkConfig
    instances: NetworkConfig
    head: NetworkConfig | None = None
    fusion: str = "stack"
    options: FusionOptions = field(default_factory=FusionOptions)
    seed: int = 0


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
        labels=named(f"{file}: label_set", lambda: label_set(raw.label_set)),
        semantic=network("semantic"),
        instances=network("instances"),
        head=None if raw.head is None else network("head"),
        fusion=raw.fusion,
        options=_checked(FusionOptions, options, f"{file}: options"),
        seed=raw.seed,
    )


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
    """Return where weights lie: a path seen from a model file's folder, or a name.

    Weights that are nowhere are looked for, by the error, where they would be installed.
    """
    if weights.startswith((".", "/", "~")):
        return folder / Path(weights).expanduser()
    return find(weights) or resources.share_dir() / "weights" / weights


def _checked(kind: Callable[..., T], content: Any, where: str) -> T:
    """Make a dataclass of a mapping; raise ValueError for keys it does not know or lacks."""
    entries = _mapping(content, where)
    known = {f.name: f for f in fields(kind)}
    for key in entries:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
    for name, key in known.items():
        optional = key.default is not MISSING or key.default_factory is not MISSING
        if not optional and name not in entries:
            raise ValueError(f"{where}: {name} is missing")
    return named(where, lambda: kind(**entries))


def _mapping(content: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, not {content!r}")
    return content


def named(where: str, make: Callable[[], T]) -> T:
    """Return what `make` makes, its errors told with the place they come from."""
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error
