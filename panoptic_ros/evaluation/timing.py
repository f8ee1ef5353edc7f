"""Time each stage: the networks once, then every merging strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from panoptic_ros.prediction import PanopticPrediction

if TYPE_CHECKING:
    import torch

    from panoptic_ros.pipeline import Inference, PanopticPipeline

SHARED_STAGES = ("upload", "semantic", "instances")
_MIB = 1 << 20


def timed(
    pipeline: PanopticPipeline, image: np.ndarray, strategies: Sequence[str]
) -> tuple[Inference, dict[str, PanopticPrediction], dict[str, float]]:
    """Run a pipeline's networks once on an image and merge with several strategies.

    Return what the networks gave, strategy -> label image, and stage -> milliseconds: upload,
    semantic, instances, and `fusion NAME` for each strategy, which ends with the label image
    in host memory. On a GPU times are those of CUDA events in the stream, read after the
    device has finished. Errors as for `PanopticPipeline.infer` and `merge`.
    """
    inference = pipeline.infer(image)
    results = {name: pipeline.merge(inference, name) for name in strategies}
    times: dict[str, float] = {}
    for name, result in results.items():
        times |= {stage: result.timings[stage] for stage in SHARED_STAGES}
        times[fusion_stage(name)] = result.timings["fusion"]
    return inference, {name: r.panoptic for name, r in results.items()}, times


def fusion_stage(strategy: str) -> str:
    """Return the name of a strategy's stage."""
    return f"fusion {strategy}"


def end_to_end(milliseconds: dict[str, float], strategy: str) -> float:
    """Return the time from the image to a strategy's label image, both in host memory."""
    stages = (*SHARED_STAGES, fusion_stage(strategy))
    return sum(milliseconds[stage] for stage in stages)


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Return the most memory used so far, MiB: {"host": resident, "device": torch's}.

    None for what is not there: a GPU, or Linux's /proc.
    """
    import torch

    on_gpu = device.type == "cuda"
    return {
        "host": _resident_peak(),
        "device": torch.cuda.max_memory_allocated(device) / _MIB if on_gpu else None,
    }


def _resident_peak() -> float | None:
    # Not getrusage, whose figure a process inherits from the one that started it.
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    # Not every /proc has the line.
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return int(line.split()[1]) / 1024 if line else None


def statistics(milliseconds: Sequence[float]) -> dict[str, Any] | None:
    """Return {"mean", "p50", "p95", "min", "max"} of times; None without any."""
    if not len(milliseconds):
        return None
    values = np.asarray(milliseconds)
    p50, p95 = np.percentile(values, (50, 95))
    found = {
        "mean": values.mean(),
        "p50": p50,
        "p95": p95,
        "min": values.min(),
        "max": values.max(),
    }
    return {name: float(value) for name, value in found.items()}
