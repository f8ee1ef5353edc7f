"""How near each stage comes to what the device can compute and move, and where its time goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from bench_networks import picture, two_networks
from results import Result, interleaved
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from panoptic_ros.model.build import HALF_TYPES
from panoptic_ros.pipeline import PanopticPipeline

_MODEL = "random"
_SIDES = (512, 1024)
_REPEATS = 5
_OPERATORS = 12
# Side of the product, and bytes of the copy, that tell the device's peak.
_PRODUCT = {"cuda": 8192, "cpu": 1024}
_COPY = {"cuda": 1 << 30, "cpu": 1 << 27}


class ByteCounter(TorchDispatchMode):
    """Add up what every operator reads and writes, as if no operator shared a cache with another.

    Views cost nothing: an operator whose output has an input's memory is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operator and run it."""
        out = func(*args, **(kwargs or {}))
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        if not {_memory(t) for t in inputs} >= {_memory(t) for t in outputs}:
            self.bytes += sum(t.numel() * t.element_size() for t in (*inputs, *outputs))
        return out


def run(device: torch.device) -> list[Result]:
    pipeline = PanopticPipeline.load(_MODEL, device=str(device), fusion="stack")
    image = picture(*_SIDES)
    inference = pipeline.infer(image)
    networks = two_networks(pipeline)
    frame = networks.upload(image)
    stages: dict[str, Callable[[], object]] = {
        "semantic": lambda: networks.semantic(frame),
        "instances": lambda: networks.instances(frame),
        "fusion": lambda: pipeline.merge(inference),
    }
    times = interleaved(stages, _REPEATS)
    flops, bandwidth = _peaks(device)
    results = [
        _roofline(stage, work, times[stage], flops, bandwidth) for stage, work in stages.items()
    ]
    return [*results, _operators(pipeline, device)]


def _roofline(
    stage: str, work: Callable[[], object], ms: float, peak_flops: float, bandwidth: float
) -> Result:
    with FlopCounterMode(display=False) as flops:
        work()
    with ByteCounter() as moved:
        work()
    computing = flops.get_total_flops() / peak_flops * 1e3
    moving = moved.bytes / bandwidth * 1e3
    share = 100 * max(computing, moving) / ms
    times = {"measured": ms, "if it only computed": computing, "if it only moved": moving}
    about = (
        f"{flops.get_total_flops() / 1e9:.1f} GFLOP, {moved.bytes / 1e9:.2f} GB through memory "
        f"operator by operator; peak {peak_flops / 1e12:.2f} TFLOP/s in the layers' type, "
        f"{bandwidth / 1e9:.0f} GB/s, both measured in this run"
    )
    return Result(f"roofline: {stage}", share, "% of the device's peak", None, True, times, about)


@torch.inference_mode()
def _peaks(device: torch.device) -> tuple[float, float]:
    """Return the FLOP/s of a large matrix product and the bytes/s of a large copy."""
    kind = device.type
    side = _PRODUCT[kind]
    # Of the type that the layers compute in.
    matrix = torch.rand(side, side, device=device, dtype=HALF_TYPES.get(kind, torch.float32))
    source = torch.empty(_COPY[kind], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = interleaved(
        {"product": lambda: matrix @ matrix, "copy": lambda: target.copy_(source)}, _REPEATS
    )
    return 2 * side**3 / times["product"] * 1e3, 2 * _COPY[kind] / times["copy"] * 1e3


def _operators(pipeline: PanopticPipeline, device: torch.device) -> Result:
    """Profile a frame; the times are those that the operators took themselves."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    image = picture(*_SIDES)
    with profile(activities=activities) as found:
        pipeline.run(image)
    kind = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    rows = {event.key: getattr(event, kind) / 1e3 for event in found.key_averages()}
    longest = sorted(rows.items(), key=lambda row: -row[1])[:_OPERATORS]
    name, total = "profile: all operators of a frame", sum(rows.values())
    about = f"model {_MODEL}, {_SIDES[1]}x{_SIDES[0]}; the {_OPERATORS} longest are shown"
    return Result(name, total, "ms", None, False, dict(longest), about)


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
