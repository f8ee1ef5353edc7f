"""Merging strategies: (semantic, instances, options) -> panoptic, one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.degeus import degeus
from panoptic_ros.fusion.merge import FusionOptions
from panoptic_ros.fusion.panoptic_fpn import panoptic_fpn
from panoptic_ros.fusion.spatial_ranking import RankedStack
from panoptic_ros.fusion.stack import stack
from panoptic_ros.fusion.upsnet import upsnet
from panoptic_ros.networks import MergeNetwork, PanopticHead, SpatialRanking
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction

__all__ = ["HEADS", "STRATEGIES", "FusionOptions", "Strategy", "make_strategy", "possible"]

Strategy = Callable[[SemanticPrediction, InstancePrediction, FusionOptions], PanopticPrediction]


# What a model's head must be for the strategies that need one, and what that is called.
HEADS: dict[str, tuple[type[MergeNetwork], str]] = {
    "conv_head": (PanopticHead, "a panoptic head"),
    "spatial_ranking": (SpatialRanking, "a spatial ranking module"),
}
# Each entry makes the strategy from the model's head (None where it has none).
STRATEGIES: dict[str, Callable[[Any], Strategy]] = {
    "stack": lambda head: stack,
    "conv_head": ConvHead,
    "panoptic_fpn": lambda head: panoptic_fpn,
    "upsnet": lambda head: upsnet,
    "degeus": lambda head: degeus,
    "spatial_ranking": RankedStack,
}


def possible(head: MergeNetwork | None) -> list[str]:
    """Return the names of all strategies that a model can run; head: its head, if any."""
    return [n for n in STRATEGIES if n not in HEADS or isinstance(head, HEADS[n][0])]


def make_strategy(name: str, head: MergeNetwork | None = None) -> Strategy:
    """Return a strategy by name; raise ValueError for an unknown name or a missing head."""
    if name not in STRATEGIES:
        raise ValueError(f"unknown fusion {name!r}; known: {', '.join(sorted(STRATEGIES))}")
    if name not in possible(head):
        raise ValueError(
            f"fusion {name!r} needs the weights of {HEADS[name][1]} and this model has none; "
            "use fusion 'stack' or train one"
        )
    return STRATEGIES[name](head)
