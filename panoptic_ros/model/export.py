"""From a model file to one graph and a model file that names it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from panoptic_ros import checkpoints
from panoptic_ros.model.build import build_networks, identities, is_onnx
from panoptic_ros.model.config import RANDOM, ModelConfig, NetworkConfig
from panoptic_ros.model.onnx.placement import Fit
from panoptic_ros.model.onnx.quantise import quantise
from panoptic_ros.model.onnx.runtimes import has_tensorrt, open_graph
from panoptic_ros.model.onnx.writer import (
    INPUT,
    Size,
    check,
    describe,
    static,
    to_openvino,
    write_graph,
    write_yaml,
)
from panoptic_ros.model.predictors import OWN_SIZE, sides_of, upload

_log = logging.getLogger(__name__)


def export(
    config: ModelConfig,
    folder: Path,
    form: str = "onnx",
    size: Size | None = None,
    pictures: Sequence[np.ndarray] = (),
) -> Path:
    """Write a model's networks as one graph, with its description and a model file.

    form: onnx, openvino or tensorrt: TensorRT's engine is kept in a folder beside the graph, and is
    made here where it can be; size: (height, width) of the network's input, None: what the model
    file makes of a frame twice as wide as high; pictures: uint8 [H, W, 3] RGB each, what to
    choose the ranges of int8 by; none: the graph stays in float. Return the model file,
    FOLDER/NAME.yaml; beside it lie NAME_network.yaml and the graph. The head stays as it is.
    Raise ValueError for an ONNX network, networks that want different sizes, a package that is
    missing, and a graph that does not give what torch gives; OSError where FOLDER cannot be
    written.
    """
    if config.network is not None and is_onnx(config.network.weights):
        raise ValueError(f"the network of model {config.name!r} is an ONNX file already")
    networks = build_networks(config, "cpu")
    size = size or _size(config)
    module, things = static(networks, size)
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / f"{config.name}.onnx"
    write_graph(module, size, graph)
    check(module, size, graph)
    if pictures:
        placed = [_placed(picture, size) for picture in pictures]
        quantise(graph, graph, placed, INPUT, symmetric=form == "tensorrt")
    if form == "openvino":
        graph = to_openvino(graph)
    if form == "tensorrt":
        _make_engine(graph)
    side = folder / f"{config.name}_network.yaml"
    describe(side, graph, config.labels, things, identities(config))
    file = folder / f"{config.name}.yaml"
    # auto: what is fastest where the file is used. OpenVINO gains most from int8.
    engine = "tensorrt" if form == "tensorrt" else "auto"
    write_yaml(file, _model(config, side.name, engine))
    return file


def _make_engine(graph: Path) -> None:
    """Let TensorRT make its engine of a graph where it can, as opening it does."""
    device = torch.device("cuda")
    if torch.cuda.is_available() and has_tensorrt(device):
        open_graph(graph, device, "tensorrt")
        return
    _log.warning(
        "there is no TensorRT here: it makes its engine of %s where the node starts first, on a "
        "machine with a GPU and an onnxruntime-gpu that has it, and takes minutes",
        graph,
    )


def _placed(picture: np.ndarray, size: Size) -> np.ndarray:
    """Return a picture as the graph will see it, uint8 [1, 3, *size]."""
    frame = upload(picture, torch.device("cpu"))
    placement = Fit(OWN_SIZE, size, 1, letterbox=True).place(sides_of(frame))
    return placement.apply(frame)[None].to(torch.uint8).numpy()


def _size(config: ModelConfig) -> Size:
    """Return the size that a model's networks see of a frame twice as wide as high."""
    wanted = {(entry.short_side, entry.long_side) for entry in config.merged.values()}
    if len(wanted) > 1:
        raise ValueError(
            f"model {config.name!r}: its networks want different sizes, {sorted(wanted)}; "
            "choose one by --size WIDTHxHEIGHT"
        )
    ((short, long),) = wanted
    short = min(short or long // 2, long // 2 or short)
    if not short:
        raise ValueError(f"model {config.name!r} fixes no size; choose one by --size WIDTHxHEIGHT")
    return short, 2 * short


def _model(config: ModelConfig, side: str, engine: str) -> dict[str, Any]:
    """Return the content of a model file for the graph, otherwise as it was."""
    riders = config.instances is not None and config.instances.find_riders
    content: dict[str, Any] = {
        "label_set": config.labels.name,
        "network": {"weights": f"./{side}", "find_riders": riders},
        "fusion": config.fusion,
        "options": {k: v for k, v in asdict(config.options).items() if v not in ({}, ())},
        "seed": config.seed,
        "max_pixels": config.max_pixels,
        "engine": engine,
    }
    if not config.half:
        content["half"] = False
    for part in ("head", "expert"):
        if (entry := getattr(config, part)) is not None:
            content[part] = _kept(entry)
    return content


def _kept(entry: NetworkConfig) -> dict[str, Any]:
    """Return a part that is not exported as the new model file names it."""
    if entry.weights == RANDOM:
        return {"weights": RANDOM, "architecture": dict(entry.architecture or {})}
    sides = {key: value for key in ("short_side", "long_side") if (value := getattr(entry, key))}
    if not entry.enlarge:
        sides["enlarge"] = False
    # By name where it has one: the file then serves on other machines.
    for folder in checkpoints.folders():
        if Path(entry.weights).is_relative_to(folder):
            name = Path(entry.weights).relative_to(folder).as_posix()
            return {"weights": name.removesuffix(".yaml"), **sides}
    return {"weights": entry.weights, **sides}
