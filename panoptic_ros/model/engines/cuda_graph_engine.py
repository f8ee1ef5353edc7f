"""Networks held by a CUDA graph, one for each size of image: a frame is one call to the driver.

The graph computes in half precision where the model file allows it, under torch's autocast: boxes,
scores and regions stay in float32.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from panoptic_ros.cuda_graphs import CudaGraph
from panoptic_ros.model.engines.artefacts import MOST_SIZES, Size, input_size, typical_size
from panoptic_ros.model.onnx.writer import static
from panoptic_ros.model.predictors import (
    OnTop,
    PanopticPredictor,
    SeparatePredictors,
    in_image,
    resize,
    sides_of,
)
from panoptic_ros.model.rider_rule import find_riders
from panoptic_ros.networks.static import StaticInstances
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

_log = logging.getLogger(__name__)


def is_there(device: torch.device) -> bool:
    """Say whether there is a CUDA device to hold graphs."""
    return device.type == "cuda" and torch.cuda.is_available()


def prepare(networks: PanopticPredictor, key: str, half: bool) -> PanopticPredictor:
    """Return networks held by a CUDA graph; half: compute in float16.

    Raise ValueError where there is no CUDA device, for an ONNX network, for networks that see a
    frame at different sizes, and where the graph cannot be made.
    """
    if not is_there(networks.device):
        raise ValueError(f"it needs a CUDA device, the device is {networks.device}")
    return GraphedNetworks(networks, half)


class GraphedNetworks(OnTop[PanopticPredictor]):
    """Run networks as CUDA graphs; sizes beyond MOST_SIZES are torch's.

    The typical size is captured at once, another with its first frame, which takes a second, and
    is torch's where that fails.
    """

    def __init__(self, networks: PanopticPredictor, half: bool) -> None:
        super().__init__(networks)
        self._half = half
        # None: of a size that could not be captured.
        self._graphs: dict[Size, Captured | None] = {}
        if size := typical_size(networks):
            self._graphs[size] = self._captured(size)

    @torch.inference_mode()
    def __call__(
        self, image: np.ndarray | Tensor, lap: Callable[[str], None] = lambda stage: None
    ) -> tuple[SemanticPrediction, InstancePrediction]:
        """Return both predictions of an image; lap: told of `semantic` when both are there."""
        frame = self.upload(image)
        size = input_size(self._networks, sides_of(frame))
        if size not in self._graphs and len(self._graphs) < MOST_SIZES:
            try:
                self._graphs[size] = self._captured(size)
            except ValueError as error:  # The drive goes on without.
                _log.warning("torch runs images of %dx%d: %s", size[1], size[0], error)
                self._graphs[size] = None
        graph = self._graphs.get(size)
        if graph is None:
            return self._networks(frame, lap)
        logits, found, is_final = graph(resize(frame, size))
        instances = read_instances(self._networks, found, is_final, size, sides_of(frame))
        if instances is None:
            return self._networks(frame, lap)
        # One graph holds both networks: what it takes is `semantic`, nothing is left for the other.
        lap("semantic")
        semantic = SemanticPrediction(logits[0].clone(), sides_of(frame), self.labels)
        lap("instances")
        return semantic, instances

    def _captured(self, size: Size) -> Captured:
        _log.info("capturing the networks for images of %dx%d", size[1], size[0])
        try:
            return Captured(self._networks, size, self._half)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"CUDA cannot capture these networks: {reason}") from error


class Captured:
    """Hold the graph of networks for images of a size."""

    def __init__(self, networks: PanopticPredictor, size: Size, half: bool) -> None:
        # Kept, as are the constants: the graph reads their memory whenever it runs.
        self._module: Any
        self._module, _ = static(networks, size, unasked=True)
        self._constants = Constants()
        image = torch.zeros(1, 3, *size, dtype=torch.uint8, device=networks.device)
        # A cache of casted weights would not be filled when the graph runs.
        cast = torch.autocast("cuda", torch.float16, enabled=half, cache_enabled=False)
        with torch.inference_mode(), cast, self._constants:
            self._graph = CudaGraph(self._run, [image])

    def _run(self, image: Tensor) -> tuple[Tensor, ...]:
        found = (t.float() if t.is_floating_point() else t for t in self._module(image))
        return (*found, self._module.is_final)

    def __call__(self, pixels: Tensor) -> tuple[Tensor, StaticInstances, Tensor]:
        """Return logits, instances and whether they are final, valid until the next call."""
        logits, *found, is_final = self._graph(pixels[None])
        return logits, StaticInstances(*found), is_final


class Constants(TorchFunctionMode):
    """Keep the tensors that a network makes of Python's numbers, by their values.

    torchvision makes some in every call, which crosses from the host: a graph cannot hold that.
    The warm-up has made those that a capture needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Tensor] = {}

    def __torch_function__(
        self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Call a function of torch; `torch.tensor` once for the same arguments."""
        kwargs = kwargs or {}
        if func is not torch.tensor:
            return func(*args, **kwargs)
        key = repr((args, kwargs))
        if key not in self._kept:
            self._kept[key] = func(*args, **kwargs)
        return self._kept[key].clone()


def read_instances(
    networks: PanopticPredictor, found: StaticInstances, is_final: Tensor, size: Size, frame: Size
) -> InstancePrediction | None:
    """Return the valid instances of a static network in pixels of the frame; None: not final.

    size: (height, width) that the network saw, frame: of the image. The device is asked once.
    """
    halves: Any = networks.instances if isinstance(networks, SeparatePredictors) else networks
    class_ids = halves.class_ids[found.labels]
    wanted = torch.cat([found.valid & (class_ids > 0), is_final.to(found.valid.device)[None]]).cpu()
    if not wanted[-1]:
        return None
    index = wanted[:-1].nonzero()[:, 0].to(class_ids.device, non_blocking=True)
    instances = InstancePrediction(
        in_image(found.boxes[index], size, frame),
        class_ids[index],
        found.scores[index],
        found.masks[index],
        # What is not finite says so in every score.
        found.scores.isfinite().all(),
    )
    finds_riders = isinstance(networks, SeparatePredictors) and networks.instances.finds_riders
    return find_riders(instances, networks.labels) if finds_riders else instances
