"""Run a graph on images: from pixels to its input, and its outputs back."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.messages.images import MAX_PIXELS
from panoptic_ros.model.onnx.description import LAYOUTS, OnnxInput
from panoptic_ros.model.onnx.runtimes import GraphInput, open_graph

_log = logging.getLogger(__name__)
# Sides of fewer pixels are channels.
_SMALLEST_SIDE = 5


class GraphError(ValueError):
    """Say why a graph did not run on an image."""


class OnnxSession:
    """Hold a graph, ready to run on images of three channels.

    size: (h, w) that the graph fixes for its input, None for a side it leaves open; batch: how
    many images it takes at once; runtime: see `open_graph`. Raise ValueError where that is missing,
    and one that names the file where it is no graph, has another input than `wanted` describes,
    or cannot take an RGB image.
    """

    def __init__(
        self, file: Path, wanted: OnnxInput, device: torch.device, runtime: str = "onnx"
    ) -> None:
        self.file, self.device = file, device
        self._graph = open_graph(file, device, runtime)
        if not self._graph.outputs:
            raise ValueError(f"{file} has no outputs")
        graph_input = self._find_input(wanted.name)
        self._name, shape = graph_input.name, graph_input.shape
        if graph_input.dtype is None:
            raise ValueError(f"{file} takes {graph_input.type}, which pixels cannot be")
        self._type: np.dtype = graph_input.dtype
        self._layout = self._find_layout(shape, wanted.layout)
        # An open side is a name or None.
        sides = {a: n for a, n in zip(self._layout, shape, strict=True) if isinstance(n, int)}
        self.batch: int = max(sides.get("N", 1), 1)
        self.size: tuple[int | None, int | None] = (sides.get("H"), sides.get("W"))
        if self.batch * math.prod(side or 1 for side in self.size) > MAX_PIXELS:
            raise ValueError(f"{file} takes {shape}, more than {MAX_PIXELS} pixels")
        if self.batch > 1:
            _log.warning(
                "%s takes %d images at once: it computes each frame so often; export it for one",
                *(file, self.batch),
            )
        self._is_bgr = wanted.color == "BGR"
        self._factor, self._shift = self._affine(wanted)

    @property
    def channels_last(self) -> bool:
        """Whether the input has its channels last."""
        return self._layout in ("NHWC", "HWC")

    def outputs(self) -> list[str]:
        """Return the names of the graph's outputs, in its order."""
        return self._graph.outputs

    def check_outputs(self, names: Sequence[str]) -> list[str]:
        """Return names of outputs; raise ValueError for one that the graph lacks."""
        known = self.outputs()
        for name in names:
            if name not in known:
                raise ValueError(f"{self.file} has no output {name!r}; it has {', '.join(known)}")
        return list(names)

    def __call__(self, pixels: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Return outputs for an image, uint8 [3, h, w], RGB, on the session's device.

        Raise GraphError that names the file where the graph refuses the input.
        """
        try:
            found = self._graph.run(names, {self._name: self._prepared(pixels)})
        except Exception as error:  # runtimes raise classes of their own
            size = "x".join(map(str, pixels.shape[1:]))
            raise GraphError(f"{self.file} cannot run an image of {size}: {error}") from error
        return [self._tensor(*pair) for pair in zip(names, found, strict=True)]

    def _tensor(self, name: str, output: Any) -> Tensor:
        """Return an output as a tensor of a type that torch computes with; raise GraphError."""
        kind = getattr(getattr(output, "dtype", None), "kind", "")
        if kind not in tuple("biuf"):
            what = f"{output.dtype}" if kind else type(output).__name__
            raise GraphError(f"{self.file}: output {name!r} is {what}, no numbers")
        if kind == "u" and output.dtype.itemsize > 1:
            output = output.astype(np.int64)
        return torch.from_numpy(np.ascontiguousarray(output)).to(self.device)

    def _prepared(self, pixels: Tensor) -> np.ndarray:
        if self._is_bgr:
            pixels = pixels.flip(0)
        if self._type != np.uint8 or (self._factor != 1).any() or self._shift.any():
            factor, shift = (
                torch.tensor(v, dtype=torch.float32, device=pixels.device).view(3, 1, 1)
                for v in (self._factor, self._shift)
            )
            pixels = pixels * factor - shift
            if self._type.kind in "iu":
                pixels = pixels.round()
        if self.channels_last:
            pixels = pixels.permute(1, 2, 0)
        if "N" in self._layout:
            pixels = pixels.expand(self.batch, *pixels.shape)
        return pixels.cpu().numpy().astype(self._type, order="C")

    def _affine(self, wanted: OnnxInput) -> tuple[np.ndarray, np.ndarray]:
        """Return factor and shift per channel of (pixel * scale - mean) / std."""
        is_integer = self._type.kind in "iu"
        scale = wanted.scale if wanted.scale is not None else 1 if is_integer else 1 / 255
        factor, shift = scale / np.array(wanted.std), np.array(wanted.mean) / np.array(wanted.std)
        ends = np.array([[0], [255]]) * factor - shift
        if not is_integer and not np.abs(ends).max() <= np.finfo(self._type).max:
            raise ValueError(
                f"{self.file} takes {self._type}; scale, mean and std make pixels "
                f"{ends.min():g}..{ends.max():g} of 0..255, more than that holds"
            )
        if is_integer:
            ends = np.round(ends)
            info = np.iinfo(self._type)
            if ends.min() < info.min or ends.max() > info.max or (ends[1] - ends[0]).min() < 127:
                advice = (
                    "leave them out" if info.min == 0 else "subtract mean: [128, 128, 128], say"
                )
                raise ValueError(
                    f"{self.file} takes {self._type}; scale, mean and std make pixels "
                    f"{ends.min():g}..{ends.max():g} of 0..255: {advice}"
                )
        return factor, shift

    def _find_input(self, name: str) -> GraphInput:
        inputs = {node.name: node for node in self._graph.inputs}
        if len(inputs) != 1 or (name and name not in inputs):
            raise ValueError(
                f"{self.file} has the inputs {', '.join(inputs)}; "
                f"it must have one, {name or 'the image'}"
            )
        return next(iter(inputs.values()))

    def _find_layout(self, shape: list[Any], wanted: str) -> str:
        """Return the layout of the graph's input, in which an RGB image fits."""
        channels = {x: shape[x.index("C")] for x in LAYOUTS if _has_sides(x, shape)}
        # An axis that is left open may have three channels, too.
        fitting = [layout for layout, n in channels.items() if n == 3]
        fitting += [layout for layout, n in channels.items() if not isinstance(n, int)]
        if wanted:
            fitting = [layout for layout in fitting if layout == wanted]
        if not fitting:
            raise ValueError(
                f"{self.file} takes {shape}, which is no {wanted or 'image'} of three channels"
            )
        return fitting[0]


def _has_sides(layout: str, shape: Sequence[Any]) -> bool:
    """Return whether a shape may be of a layout: as many axes, and sides that pictures have."""
    return len(layout) == len(shape) and all(
        not isinstance(n, int) or n < 1 or n >= _SMALLEST_SIDE
        for axis, n in zip(layout, shape, strict=True)
        if axis in "HW"
    )
