"""The networks of a frame on each engine that is installed, against torch as it is."""

from __future__ import annotations

import os
import tempfile

import torch
from bench_networks import picture
from results import Result, interleaved

from panoptic_ros.model.engines import EAGER, ENGINES
from panoptic_ros.pipeline import PanopticPipeline

_MODEL = "random"
_SIDES = (512, 1024)
_REPEATS = 5


def run(device: torch.device) -> list[Result]:
    names = [name for name, e in ENGINES.items() if name != "compile" and e.is_there(device)]
    if device.type == "cuda":
        names.append("compile")
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            pipelines = {
                name: PanopticPipeline.load(_MODEL, device=str(device), engine=name)
                for name in (EAGER, *names)
            }
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before
    image = picture(*_SIDES)
    times = interleaved(
        {name: lambda p=pipeline: p.infer(image) for name, pipeline in pipelines.items()}, _REPEATS
    )
    return [
        Result(
            f"engine: {name} against eager",
            times[EAGER] / times[name],
            "times faster",
            None,
            True,
            {EAGER: times[EAGER], name: times[name]},
            f"networks of model {_MODEL}, {_SIDES[1]}x{_SIDES[0]}",
        )
        for name in names
    ]
