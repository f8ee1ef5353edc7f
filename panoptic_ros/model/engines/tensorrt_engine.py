"""Networks run by TensorRT through onnxruntime, in float16 where the model file allows it."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from panoptic_ros.model.engines.artefacts import CachedGraphs
from panoptic_ros.model.onnx.runtimes import has_tensorrt, require_tensorrt
from panoptic_ros.model.predictors import PanopticPredictor


def is_there(device: torch.device) -> bool:
    """Say whether this engine is installed, and for the device."""
    return has_tensorrt(device) and find_spec("onnx") is not None


def prepare(networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    """Return networks run by TensorRT; half: in float16 where that is faster.

    Raise as `CachedGraphs` and `require_tensorrt` do.
    """
    require_tensorrt(networks.device)
    return CachedGraphs(networks, key, "tensorrt" if half else "tensorrt_float32")
