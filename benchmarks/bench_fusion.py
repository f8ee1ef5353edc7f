"""The heuristic merge against its textbook form."""

from __future__ import annotations

import numpy as np
import torch
from results import Result, interleaved
from scenes import SIZE, fresh, street

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.reference import stack_reference
from panoptic_ros.fusion.stack import stack

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
    return [
        Result(
            "fusion: stack against textbook",
            times["textbook"] / times["stack"],
            "times faster",
            5,
            True,
            times,
            f"{SIZE[1]}x{SIZE[0]}, {_INSTANCES} instances, of which "
            f"{np.count_nonzero(np.unique(fast) >= 1000)} visible",
        )
    ]
