"""Networks run by OpenVINO, on the CPU."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from panoptic_ros.model.engines.artefacts import CachedGraphs
from panoptic_ros.model.predictors import PanopticPredictor


def is_there(device: torch.device) -> bool:
    """Say whether this engine is installed, and for the device."""
    return (
        device.type == "cpu" and find_spec("openvino") is not None and find_spec("onnx") is not None
    )


def prepare(networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    """Return networks run by OpenVINO; raise as `CachedGraphs` does."""
    return CachedGraphs(networks, key, "openvino")
