"""Networks run by onnxruntime."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from panoptic_ros.model.engines.artefacts import CachedGraphs
from panoptic_ros.model.predictors import PanopticPredictor


def is_there(device: torch.device) -> bool:
    """Say whether this engine is installed."""
    return find_spec("onnxruntime") is not None and find_spec("onnx") is not None


def prepare(networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    """Return networks run by onnxruntime; raise as `CachedGraphs` does."""
    return CachedGraphs(networks, key, "onnx")
