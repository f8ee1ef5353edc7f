"""The heuristic merge against its textbook form, and what it and the head cost on one core."""

from __future__ import annotations

import numpy as np
import torch
from reference import stack_reference
from results import Result, faster, interleaved, least_on_one_core, on_cpu
from scenes import SIZE, fresh, street

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.conv_head import ConvHead
from panoptic_ros.fusion.stack import stack
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks.panoptic_head import PanopticHead

_INSTANCES = 30
_REPEATS = 15
# Both forms interpolate; at a mask's very edge rounding may decide.
_LARGEST_DIFFERENCE = 1e-4


@torch.inference_mode()
def run(device: torch.device) -> list[Result]:
    semantic, instances = street(_INSTANCES, device)
    options = FusionOptions()
    fast = stack(semantic, instances, options).labels
    differing = (fast != stack_reference(semantic, instances, options)).mean()
    if differing > _LARGEST_DIFFERENCE:
        raise ValueError(f"the two forms of the merge differ in {differing:.2%} of the pixels")
    times = interleaved(
        {
            "textbook": lambda: stack_reference(fresh(semantic), instances, options),
            "stack": lambda: stack(fresh(semantic), instances, options),
        },
        _REPEATS,
    )
    visible = np.count_nonzero(np.unique(fast) >= 1000)
    about = f"{SIZE[1]}x{SIZE[0]}, {_INSTANCES} instances, of which {visible} visible"
    name, goal = "fusion: stack against textbook", on_cpu(5, device)
    result = faster(name, times, "textbook", "stack", goal, about)
    return [result, *(_on_one_core() if device.type == "cpu" else [])]


def _on_one_core() -> list[Result]:
    semantic, instances = street(_INSTANCES, torch.device("cpu"))
    options = FusionOptions()
    head = ConvHead(PanopticHead([c.id for c in CITYSCAPES.things]))
    times = least_on_one_core(
        {
            "stack": lambda: stack(fresh(semantic), instances, options),
            "conv_head": lambda: head(fresh(semantic), instances, options),
        },
        _REPEATS,
    )
    about = f"{SIZE[1]}x{SIZE[0]}, {_INSTANCES} instances, least CPU time of {_REPEATS}"
    return [
        Result(f"fusion: {name} on one core", times[name], "ms", goal, False, times, about)
        for name, goal in (("stack", 15), ("conv_head", None))
    ]
