"""Networks once, every strategy on what they gave, each stage timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from panoptic_ros.fusion import make_strategy
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction
from panoptic_ros.stage_clock import StageClock

SHARED_STAGES = ("upload", "semantic", "instances")
_MIB = 1 << 20


@dataclass(frozen=True)
class TimedResult:
    """Hold what one frame gave; merged: strategy -> label image; milliseconds: stage -> time."""

    semantic: SemanticPrediction
    instances: InstancePrediction
    merged: dict[str, PanopticPrediction]
    milliseconds: dict[str, float]


class TimedFusions:
    """Run a pipeline's networks once per image and then several strategies.

    Stages: upload, semantic, instances, and `fusion NAME` for each strategy, which ends with
    the label image in host memory. On a GPU times are those of CUDA events in the stream, read
    after the device has finished.
    Raise ValueError for a strategy that the model cannot run.
    """

    def __init__(self, pipeline: PanopticPipeline, strategies: Sequence[str]) -> None:
        self.pipeline = pipeline
        self._strategies = {name: make_strategy(name, pipeline.head) for name in strategies}

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> TimedResult:
        """Take an image, uint8 [H, W, 3], RGB; raise ValueError for another."""
        pipeline = self.pipeline
        clock = StageClock(pipeline.device)
        frame = pipeline.semantic.upload(image)
        clock.lap("upload")
        semantic = pipeline.semantic(frame)
        clock.lap("semantic")
        instances = pipeline.instances(frame)
        clock.lap("instances")
        merged = {}
        for name, strategy in self._strategies.items():
            merged[name] = strategy(semantic, instances, pipeline.options)
            clock.lap(fusion_stage(name))
        times = clock.milliseconds()
        del times["total"]  # the sum over all strategies, which no camera frame ever costs
        return TimedResult(semantic, instances, merged, times)


def fusion_stage(strategy: str) -> str:
    """Return the name of a strategy's stage."""
    return f"fusion {strategy}"


def end_to_end(milliseconds: dict[str, float], strategy: str) -> float:
    """Return the time from the image to a strategy's label image, both in host memory."""
    stages = (*SHARED_STAGES, fusion_stage(strategy))
    # Where a pipeline is timed as it runs, the upload is a part of the stage "semantic".
    return sum(milliseconds[stage] for stage in stages if stage in milliseconds)


def peak_memory(device: torch.device) -> dict[str, float | None]:
    """Return the most memory used so far, MiB: {"host": resident, "device": torch's}.

    None for what is not there: a GPU, or Linux's /proc.
    """
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
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]
    return int(kilobytes) / 1024


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
