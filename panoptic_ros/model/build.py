"""The networks of a model, built and filled with their weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from panoptic_ros import checkpoints
from panoptic_ros.checkpoints import advice
from panoptic_ros.documents import named
from panoptic_ros.model.config import RANDOM, ModelConfig, NetworkConfig
from panoptic_ros.model.engines import EAGER, run_by, runtime_of
from panoptic_ros.model.expert import ExpertPredictor
from panoptic_ros.model.onnx import (
    OnnxGraph,
    OnnxInstancePredictor,
    OnnxPanopticPredictor,
    OnnxSemanticPredictor,
    described_file,
    exported_from,
    load_description,
)
from panoptic_ros.model.predictors import (
    InstancePredictor,
    Limits,
    PanopticPredictor,
    Predictor,
    SemanticPredictor,
    SeparatePredictors,
)
from panoptic_ros.model.shared_predictor import SharedPredictor
from panoptic_ros.networks import (
    DeepLabV3Plus,
    MaskRCNNDetector,
    MergeNetwork,
    PanopticHead,
    SharedPanopticNetwork,
    SpatialRanking,
    build,
)
from panoptic_ros.networks.folding import fold_batch_norms

_log = logging.getLogger(__name__)
T = TypeVar("T")
P = TypeVar("P", bound=Predictor)
# What networks compute in on a kind of device where the model file allows it; float32 on others.
HALF_TYPES = {"cuda": torch.float16}


def build_predictors(
    config: ModelConfig, device: torch.device | str
) -> tuple[PanopticPredictor, MergeNetwork | None]:
    """Return the networks of a model on a device, ready for images, and its head if any.

    A head that was trained for other networks is left out, with a warning.
    Raise FileNotFoundError for missing weights, with the command that fetches them where
    there is one; ValueError where weights are damaged, are another kind of network, or know
    other classes than the model's label set, or where the engine cannot run them.
    """
    networks = build_networks(config, device)
    # ONNX files have a runtime of their own.
    is_foreign = all(is_onnx(entry.weights) for entry in config.merged.values())
    if config.engine != EAGER and not is_foreign:
        where = f"model {config.name!r}, engine {config.engine}"
        networks = named(where, lambda: run_by(config.engine, networks, _key(config), config.half))
    if config.expert is not None:
        networks = _with_expert(config, networks, device)
    if config.head is None:
        return networks, None
    head = cast(MergeNetwork, _network(config, "head", device, PanopticHead, SpatialRanking))
    things, known = {c.id for c in config.labels.things}, len(config.labels)
    # A ranking sees no semantic classes.
    among = head.num_semantic if isinstance(head, PanopticHead) else known
    if set(head.class_ids) != things or among != known:
        raise ValueError(
            f"model {config.name!r}: the head is for classes {head.class_ids} among "
            f"{among}, label set {config.labels.name!r} has {sorted(things)} among {known}"
        )
    return networks, head if _suits(config) else None


def _key(config: ModelConfig) -> str:
    """Return what tells a model's networks, trained or not, from all others."""
    untrained = [entry.architecture for entry in config.merged.values()]
    return json.dumps([identities(config), config.seed, untrained], sort_keys=True)


def identities(config: ModelConfig) -> dict[str, str]:
    """Return what tells a model's networks from others, by part: the SHA-256 of the weights.

    A network that was exported from weights of ours is known by those.
    """
    network = config.network
    if network and is_onnx(network.weights) and (origin := exported_from(Path(network.weights))):
        return dict(origin)
    return {part: _identity(entry.weights) for part, entry in config.merged.items()}


def _identity(weights: str) -> str:
    if weights == RANDOM:
        return RANDOM
    if is_onnx(weights):
        file = described_file(Path(weights))
        # OpenVINO's .xml holds the layers alone.
        return checkpoints.digest_of(file.with_suffix(".bin") if file.suffix == ".xml" else file)
    return checkpoints.read_side_file(weights)["sha256"]


def _suits(config: ModelConfig) -> bool:
    """Say whether a model's head was trained for its networks; warn where it was not.

    Side files say it (`trained_for`); of a head without one, only that no ONNX network was it.
    """
    assert config.head is not None
    if config.head.weights == RANDOM:
        return True
    known = checkpoints.read_side_file(config.head.weights).get("trained_for") or {}
    for part, found in identities(config).items():
        # A network that was exported has the parts of those that it was exported from.
        own = config.merged.get(part)
        entry: Any = own or config.network
        weights = entry.weights
        foreign = own is not None and is_onnx(weights)
        if known.get(part, found) != found or (part not in known and foreign):
            _log.warning(
                "model %r: head %s was not trained for the %s network %s: it is left out; "
                "docs/weights.md tells how to train one",
                *(config.name, Path(config.head.weights).name, part, Path(weights).name),
            )
            return False
    return True


def build_networks(config: ModelConfig, device: torch.device | str) -> PanopticPredictor:
    """Return the networks whose answer is merged; raise as `build_predictors` does."""
    entry = config.network
    if entry is None:
        return SeparatePredictors(_semantic(config, device), _instances(config, device))
    if is_onnx(entry.weights):
        make = partial(OnnxPanopticPredictor, finds_riders=entry.find_riders)
        return _onnx(config, "network", "panoptic", make, device)
    network = _network(config, "network", device, SharedPanopticNetwork)
    where = f"model {config.name!r}, network"
    shared = named(where, lambda: SharedPredictor(network, config.labels, _limits(entry)))
    return _in_half(config, shared)


def _semantic(config: ModelConfig, device: torch.device | str) -> SemanticPredictor:
    entry = config.semantic
    assert entry is not None  # or a shared network stands in both places
    if is_onnx(entry.weights):
        return _onnx(config, "semantic", "semantic", OnnxSemanticPredictor, device)
    network = _network(config, "semantic", device, DeepLabV3Plus)
    return _in_half(config, SemanticPredictor(network, config.labels, _limits(entry)))


def _instances(config: ModelConfig, device: torch.device | str) -> InstancePredictor:
    entry = config.instances
    assert entry is not None  # or a shared network stands in both places
    if is_onnx(entry.weights):
        make = partial(OnnxInstancePredictor, finds_riders=entry.find_riders)
        return _onnx(config, "instances", "instance", make, device)
    network = _network(config, "instances", device, MaskRCNNDetector)
    limits, riders = _limits(entry), entry.find_riders
    return _in_half(config, InstancePredictor(network, config.labels, limits, finds_riders=riders))


def _in_half(config: ModelConfig, predictor: P) -> P:
    """Let a predictor compute in half precision where model file and device do."""
    half = HALF_TYPES.get(predictor.device.type)
    if config.half and half is not None:
        predictor.compute_in(half)
    return predictor


def _limits(entry: NetworkConfig) -> Limits:
    return Limits(entry.short_side, entry.long_side, entry.enlarge)


def _with_expert(
    config: ModelConfig, networks: PanopticPredictor, device: torch.device | str
) -> PanopticPredictor:
    assert config.expert is not None
    where, weights = f"model {config.name!r}, expert", config.expert.weights
    if not is_onnx(weights):
        how = advice(Path(weights).name) or "write the path of its description (docs/weights.md)"
        raise FileNotFoundError(f"{where}: there is no described network {weights}; {how}")
    # Those are for the networks alone.
    engine = EAGER if config.engine in ("compile", "cuda_graph") else config.engine
    own = replace(config, engine=engine)
    expert = _onnx(own, "expert", "semantic", OnnxSemanticPredictor, device)
    return named(where, lambda: ExpertPredictor(networks, expert))


def _onnx(
    config: ModelConfig,
    part: str,
    task: str,
    make: Callable[..., Any],
    device: torch.device | str,
) -> Any:
    """Build an ONNX network from its description, which stands in for torch's predictor."""
    entry: NetworkConfig = getattr(config, part)
    where = f"model {config.name!r}, {part}"
    try:
        description = load_description(Path(entry.weights), task)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where}: {error}") from error
    chosen = torch.device(device)
    runtime = runtime_of(config.engine, chosen, config.half)
    rest = (config.labels, chosen, _limits(entry))
    return named(where, lambda: make(OnnxGraph(description, *rest, runtime=runtime)))


def is_onnx(weights: str) -> bool:
    """Say whether weights are the description of an ONNX network (a .yaml file)."""
    return Path(weights).suffix in (".yaml", ".yml")


def _network(config: ModelConfig, part: str, device: torch.device | str, *kinds: type[T]) -> T:
    """Build one of a model's networks and check that it is of a kind that the part takes."""
    entry: NetworkConfig = getattr(config, part)
    where = f"model {config.name!r}, {part}"
    if entry.weights == RANDOM:
        architecture = entry.architecture or {}
        network = named(where, lambda: _random(architecture, config.seed))
        network = network.to(device).eval()
    else:
        try:
            network, side = checkpoints.load(entry.weights, device)
        except FileNotFoundError as error:
            # Weights of a manifest's name come from a folder of weights, whatever it is.
            how = advice(Path(entry.weights).name) or "train it or choose another model"
            raise FileNotFoundError(f"{where}: {error}; {how}") from error
        if side["label_set"] != config.labels.name:
            raise ValueError(
                f"{where}: {entry.weights} was trained for label set {side['label_set']!r}, "
                f"the model's is {config.labels.name!r}"
            )
    if not isinstance(network, kinds):
        names = " or a ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{where}: needs a {names}, not a {type(network).__name__}")
    fold_batch_norms(network)
    return network


def _random(architecture: Mapping[str, Any], seed: int) -> nn.Module:
    """Build a network with the weights of a seed; the caller's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(architecture)
