"""The networks of a frame on each engine that is installed, against torch as it is."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

import torch
from bench_networks import picture
from results import Result, interleaved

from panoptic_ros.model.engines import EAGER, ENGINES
from panoptic_ros.pipeline import PanopticPipeline

_MODEL = "random"
_SIDES = (512, 1024)
_REPEATS = 5


def run(device: torch.device) -> Iterator[Result]:
    eager = PanopticPipeline.load(_MODEL, device=str(device), engine=EAGER)
    names = [name for name, e in ENGINES.items() if name != "compile" and e.is_there(device)]
    # Compiling takes minutes: last, and where it is worth it.
    for name in [*names, *(["compile"] if device.type == "cuda" else [])]:
        try:
            pipeline = _prepared(name, device)
        except ValueError as error:  # It must not cost the others their figures.
            print(f"engine {name} is left out: {error}", file=sys.stderr, flush=True)
            continue
        yield _against_eager(name, eager, pipeline)


def _prepared(name: str, device: torch.device) -> PanopticPipeline:
    """Return the model on an engine that keeps nothing on disk from before, or for later."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            return PanopticPipeline.load(_MODEL, device=str(device), engine=name)
        finally:
            os.environ.pop("XDG_CACHE_HOME")
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def _against_eager(name: str, eager: PanopticPipeline, pipeline: PanopticPipeline) -> Result:
    image = picture(*_SIDES)
    times = interleaved(
        {EAGER: lambda: eager.infer(image), name: lambda: pipeline.infer(image)}, _REPEATS
    )
    return Result(
        f"engine: {name} against eager",
        times[EAGER] / times[name],
        "times faster",
        None,
        True,
        times,
        f"networks of model {_MODEL}, {_SIDES[1]}x{_SIDES[0]}",
    )
