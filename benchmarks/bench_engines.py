"""The networks of a frame on each engine that is installed, against torch as it is."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from bench_networks import picture
from results import Result, faster, interleaved

from panoptic_ros.datasets.picture_files import read_picture
from panoptic_ros.model.config import load_model_config
from panoptic_ros.model.engines import EAGER, ENGINES
from panoptic_ros.model.export import export
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.resources import share_dir

_MODEL = "random"
_SIDES = (512, 1024)
_REPEATS = 5
_IN_INT8 = ("town", "town_fast")


def run(device: torch.device) -> Iterator[Result]:
    eager = PanopticPipeline.load(_MODEL, device=str(device), engine=EAGER)
    names = [name for name, e in ENGINES.items() if name != "compile" and e.is_there(device)]
    for name in names:
        yield from _measured(name, eager, device)
    if device.type == "cuda":
        yield _shipped(device)
        # It takes minutes, and is worth it on a GPU alone.
        yield from _measured("compile", eager, device)
    elif ENGINES["onnx"].is_there(device):
        for name in _IN_INT8:
            yield _int8_against_torch(name)


def _measured(name: str, eager: PanopticPipeline, device: torch.device) -> Iterator[Result]:
    try:
        pipeline = _prepared(name, device)
    except ValueError as error:  # It must not cost the others their figures.
        print(f"engine {name} is left out: {error}", file=sys.stderr, flush=True)
    else:
        yield _against_eager(name, eager, pipeline)


def _shipped(device: torch.device) -> Result:
    """Run whole frames, image to label image, by the shipped models as CUDA graphs."""
    image = read_picture(share_dir() / "sample/town_street.jpg")
    models = {
        name: PanopticPipeline.load(name, device=str(device), engine="cuda_graph")
        for name in ("town", "town_shared", "town_fast")
    }
    functions = {name: lambda m=model: m.run(image) for name, model in models.items()}
    times = interleaved(functions, 4 * _REPEATS)
    about = f"{image.shape[1]}x{image.shape[0]}, image to label image"
    return Result("frame: town as a CUDA graph", times["town"], "ms", 20, False, times, about)


def _int8_against_torch(name: str) -> Result:
    """Run a shipped model in int8, its ranges those of one picture: they change no time."""
    image = read_picture(share_dir() / "sample/town_street.jpg")
    with tempfile.TemporaryDirectory() as folder:
        file = export(load_model_config(name), Path(folder), "onnx", None, [image])
        models = {
            "torch": PanopticPipeline.load(name, device="cpu", engine=EAGER),
            "int8": PanopticPipeline.load(str(file), device="cpu"),
        }
    # One after the other: threads of torch's that have just computed spin, and would hold up int8.
    functions: dict[str, Callable[[], object]] = {}
    for kind, model in models.items():
        functions[f"{kind} frame"] = partial(model.run, image)
        functions[f"{kind} networks"] = partial(model.infer, image)
    times = interleaved(functions, 4 * _REPEATS)
    about = f"{image.shape[1]}x{image.shape[0]}, merge {models['torch'].fusion_name}"
    what = f"engine: {name} in int8 against torch"
    return faster(what, times, "torch networks", "int8 networks", 3, about)


def _prepared(name: str, device: torch.device) -> PanopticPipeline:
    """Return the model on an engine that keeps nothing on disk from before, or for later."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, {"XDG_CACHE_HOME": folder}),
    ):
        return PanopticPipeline.load(_MODEL, device=str(device), engine=name)


def _against_eager(name: str, eager: PanopticPipeline, pipeline: PanopticPipeline) -> Result:
    image = picture(*_SIDES)
    times = interleaved(
        {EAGER: lambda: eager.infer(image), name: lambda: pipeline.infer(image)}, _REPEATS
    )
    about = f"networks of model {_MODEL}, {_SIDES[1]}x{_SIDES[0]}"
    return faster(f"engine: {name} against eager", times, EAGER, name, None, about)
