"""Merging strategies: (semantic, instances, options) -> panoptic, one file each."""

from __future__ import annotations

from collections.abc import Callable

from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.degeus import degeus
from panoptic_ros.fusion.fusion_options import FusionOptions
from panoptic_ros.fusion.panoptic_fpn import panoptic_fpn
from panoptic_ros.fusion.stack import stack
from panoptic_ros.fusion.upsnet import upsnet
from panoptic_ros.networks.panoptic_head import PanopticHead
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction

__all__ = ["STRATEGIES", "FusionOptions", "Strategy", "make_strategy", "possible"]

Strategy = Callable[[SemanticPrediction, InstancePrediction, FusionOptions], PanopticPrediction]


def _conv_head(head: PanopticHead | None) -> Strategy:
    if head is None:
        raise ValueError(
            "fusion 'conv_head' needs the weights of a panoptic head and this model has none; "
            "use fusion 'stack' or train a head"
        )
    return ConvHead(head)


# Each entry makes the strategy from the model's head (None where it has none).
STRATEGIES: dict[str, Callable[[PanopticHead | None], Strategy]] = {
    "stack": lambda head: stack,
    "conv_head": _conv_head,
    "panoptic_fpn": lambda head: panoptic_fpn,
    "upsnet": lambda head: upsnet,
    "degeus": lambda head: degeus,
}


def possible(head: PanopticHead | None) -> list[str]:
    """Return the names of all strategies that a model can run; head: its head, if any."""
    return [name for name in STRATEGIES if head is not None or name != "conv_head"]


def make_strategy(name: str, head: PanopticHead | None = None) -> Strategy:
    """Return a strategy by name; raise ValueError for an unknown name or a missing head."""
    if name not in STRATEGIES:
        raise ValueError(f"unknown fusion {name!r}; known: {', '.join(sorted(STRATEGIES))}")
    return STRATEGIES[name](head)
