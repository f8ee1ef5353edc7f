"""What a system costs: parameters, operations, and time beside other systems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from panoptic_ros.evaluation.timing import end_to_end, statistics, timed
from panoptic_ros.model.predictors import SeparatePredictors
from panoptic_ros.pipeline import PanopticPipeline

WARMUP_ROUNDS = 2


def parameters(pipeline: PanopticPipeline) -> int | None:
    """Return the parameters of the networks and the head; None where one is no torch module."""
    networks = _networks(pipeline)
    if not all(isinstance(network, nn.Module) for network in networks):
        return None
    return sum(p.numel() for network in networks for p in network.parameters())


def gflops(pipeline: PanopticPipeline, images: Sequence[np.ndarray]) -> float | None:
    """Return the mean of 10^9 floating-point operations per image, networks and merge.

    images: uint8 [H, W, 3]. Convolutions and matrix products are counted, a multiplication and
    an addition as two. None where a network is no torch module.
    """
    if parameters(pipeline) is None:
        return None
    deformable = {torch.ops.torchvision.deform_conv2d: _deformable_flops}
    with FlopCounterMode(display=False, custom_mapping=deformable) as counter:
        for image in images:
            pipeline(image)
    return counter.get_total_flops() / len(images) / 1e9


def time_in_turns(
    pipelines: Mapping[str, PanopticPipeline], images: Sequence[np.ndarray]
) -> dict[str, dict[str, Any] | None]:
    """Return each pipeline's `statistics` of milliseconds end to end on the same images.

    The pipelines take turns on each image, so that whatever else the machine does, and how
    warm it is, meets all of them alike.
    """
    milliseconds: dict[str, list[float]] = {name: [] for name in pipelines}
    rounds = [*list(images[:1]) * WARMUP_ROUNDS, *images]
    for image in rounds:
        for name, pipeline in pipelines.items():
            fusion = pipeline.fusion_name
            milliseconds[name].append(end_to_end(timed(pipeline, image, [fusion])[2], fusion))
    return {name: statistics(times[WARMUP_ROUNDS:]) for name, times in milliseconds.items()}


def _networks(pipeline: PanopticPipeline) -> list[Any]:
    networks = pipeline.networks
    parts: list[Any] = [networks]
    if isinstance(networks, SeparatePredictors):
        parts = [networks.semantic, networks.instances]
    head = [] if pipeline.head is None else [pipeline.head]
    # An ONNX predictor has no network of torch.
    return [*(getattr(part, "network", None) for part in parts), *head]


def _deformable_flops(
    image: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any
) -> int:
    """Return the operations of a deformable convolution, as of a plain one."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])
