"""What runs a model's networks: torch as it is, or an engine, each in a file of its own.

An engine has `is_there(device)` and `prepare(networks, key, half)`, which returns networks that
answer as those do; key tells the weights from others, for what is kept on disk; half allows
float16, of which engines on a GPU make use.
"""

from __future__ import annotations

import logging
import time
from types import ModuleType

import numpy as np
import torch

from panoptic_ros.model.engines import (
    compile_engine,
    cuda_graph_engine,
    onnx_engine,
    openvino_engine,
    tensorrt_engine,
)
from panoptic_ros.model.engines.artefacts import typical_size
from panoptic_ros.model.predictors import PanopticPredictor

_log = logging.getLogger(__name__)
EAGER, AUTO = "eager", "auto"
# What a model file says that names none.
DEFAULT = ""
ENGINES: dict[str, ModuleType] = {
    "onnx": onnx_engine,
    "openvino": openvino_engine,
    "tensorrt": tensorrt_engine,
    "cuda_graph": cuda_graph_engine,
    "compile": compile_engine,
}
_REPEATS = 3


def run_by(engine: str, networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    """Return networks run by an engine, ready for frames of the expected size.

    engine: EAGER, AUTO, a key of ENGINES, or DEFAULT: a CUDA graph where the networks can be held
    by one, else torch. auto times a frame on each engine that is there, and takes the fastest.
    Raise ValueError where an engine is missing or cannot run these networks.
    """
    if engine == EAGER:
        return networks
    if engine == AUTO:
        return _fastest(networks, key, half)
    if engine == DEFAULT:
        return _graphed(networks, key, half)
    return ENGINES[engine].prepare(networks, key, half)


def named_or_default(engine: str, device: torch.device) -> str:
    """Return an engine's name, where it is DEFAULT that of what is tried first on a device."""
    return engine or ("cuda_graph" if cuda_graph_engine.is_there(device) else EAGER)


def runtime_of(engine: str, device: torch.device, half: bool = True) -> str:
    """Return what runs a network that is an ONNX file already, a key of `runtimes.RUNTIMES`.

    half: allows float16. Raise ValueError for an engine that cannot.
    """
    if engine in ("compile", "cuda_graph"):
        raise ValueError(
            f"engine {engine} is not for an ONNX file; write onnx, openvino, tensorrt or auto"
        )
    if engine == AUTO:
        there = [name for name in ("tensorrt", "openvino") if ENGINES[name].is_there(device)]
        engine = there[0] if there else "onnx"
    if engine == "tensorrt" and not half:
        return "tensorrt_float32"
    return "onnx" if engine in (EAGER, DEFAULT) else engine


def _graphed(networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    if not cuda_graph_engine.is_there(networks.device):
        return networks
    try:
        return cuda_graph_engine.prepare(networks, key, half)
    except ValueError as error:
        _log.warning("torch runs the networks, which no CUDA graph can hold: %s", error)
        return networks


def _fastest(networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    try:
        size = typical_size(networks)
    except ValueError as error:
        _log.warning("engine eager: %s", error)
        return networks
    if size is None:
        _log.info("engine eager: this model fixes no size to prepare another for")
        return networks
    image = np.zeros((*size, 3), np.uint8)
    chosen, name, least = networks, EAGER, _seconds(networks, image)
    for candidate, engine in ENGINES.items():
        # Compiling takes minutes: where it is worth it, it is asked for by name.
        if candidate == "compile" or not engine.is_there(networks.device):
            continue
        try:
            _log.info("trying engine %s", candidate)
            prepared = engine.prepare(networks, key, half)
            seconds = _seconds(prepared, image)
        # OSError: its folder cannot be written.
        except (OSError, ValueError) as error:
            _log.warning("engine %s is left out: %s", candidate, error)
            continue
        if seconds < least:
            chosen, name, least = prepared, candidate, seconds
    _log.info("engine %s is the fastest here: %.0f ms for the networks", name, 1e3 * least)
    return chosen


def _seconds(networks: PanopticPredictor, image: np.ndarray) -> float:
    """Return the least time of some frames after a first one."""
    times = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        _, instances = networks(image)
        # Waits for a device.
        instances.scores.cpu()
        times.append(time.perf_counter() - start)
    return min(times[1:])
