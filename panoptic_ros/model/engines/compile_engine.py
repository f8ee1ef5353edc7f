"""Networks whose convolutions torch.compile has made one kernel where it can.

Backbones and the semantic network are compiled, one by one: what comes after has as many rows as
there are regions, and would be compiled again for each number.
"""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from typing import Literal, TypeVar, cast

import numpy as np
import torch
from torch import nn

from panoptic_ros.model.engines.artefacts import cache_dir, typical_size
from panoptic_ros.model.predictors import (
    InstancePredictor,
    PanopticPredictor,
    SemanticPredictor,
    SeparatePredictors,
)
from panoptic_ros.model.shared_predictor import SharedPredictor

_log = logging.getLogger(__name__)
M = TypeVar("M", bound=nn.Module)


def is_there(device: torch.device) -> bool:
    """Say whether torch can compile here."""
    return device.type == "cpu" or find_spec("triton") is not None


def prepare(networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    """Return networks with compiled parts, after a first frame of the typical size.

    Frames of another size are run as they are, as all are where a model fixes no size. What torch
    compiles is kept on disk. Raise ValueError for an ONNX network, and where compiling fails,
    as without a C++ compiler on a CPU.
    """
    size = typical_size(networks)
    if size is None:
        _log.warning("engine eager: this model fixes no size to compile for")
        return networks
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "inductor"))
    if isinstance(networks, SharedPredictor):
        networks.network.backbone = _compiled(networks.network.backbone)
        networks.network.semantic = _compiled(networks.network.semantic)
    elif (
        isinstance(networks, SeparatePredictors)
        and isinstance(networks.semantic, SemanticPredictor)
        and isinstance(networks.instances, InstancePredictor)
    ):
        networks.semantic.network = _compiled(networks.semantic.network)
        detector = networks.instances.network
        detector.backbone = _compiled(detector.backbone)
    else:
        raise ValueError("a network of it is an ONNX file, which has its own runtime")
    # Compiled is what takes one image.
    networks.batches = False
    _log.info("compiling the networks for images of %dx%d", size[1], size[0])
    _set_stance("default")
    try:
        networks(np.zeros((*size, 3), np.uint8), lambda stage: _log.info("compiled: %s", stage))
    except Exception as error:  # torch's compiler raises whatever its parts raise.
        raise ValueError(f"torch.compile failed: {str(error).splitlines()[0]}") from error
    finally:
        # No frame waits for a compiler in the middle of a drive.
        _set_stance("eager_on_recompile")
    return networks


def _set_stance(stance: Literal["default", "eager_on_recompile"]) -> None:
    # Newer than the oldest torch that we run on, whose first frames of a size may wait.
    if hasattr(torch.compiler, "set_stance"):
        torch.compiler.set_stance(stance)


def _compiled(module: M) -> M:
    return cast(M, torch.compile(module, dynamic=False))
