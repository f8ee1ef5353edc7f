"""Run an ONNX graph with onnxruntime, on a GPU where it can."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.model.onnx.description import LAYOUTS, OnnxInput

_log = logging.getLogger(__name__)
GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
CPU_PROVIDER = "CPUExecutionProvider"
# onnxruntime's names of the element types that pixels can have.
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    **{f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}").type
       for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


class GraphError(ValueError):
    """Say why a graph did not run on an image."""


class OnnxSession:
    """Hold a graph, ready to run on images of three channels.

    size: (h, w) that the graph fixes for its input, None for a side it leaves open; batch: how
    many images it takes at once. Raise ValueError where onnxruntime is missing, and one
    that names the file where it is no ONNX graph, has another input than `wanted` describes,
    or cannot take an RGB image.
    """

    def __init__(self, file: Path, wanted: OnnxInput, device: torch.device) -> None:
        runtime = _runtime()
        self.file, self.device = file, device
        available = runtime.get_available_providers()
        chosen = [p for p in GPU_PROVIDERS if p in available] if device.type == "cuda" else []
        if device.type == "cuda" and not chosen:
            _log.warning(
                "%s runs on the CPU: this onnxruntime has no CUDA provider; install "
                "onnxruntime-gpu in its place",
                file,
            )
        options = runtime.SessionOptions()
        # Graph optimisations do not belong in a vehicle's log.
        # We raise what fails.
        options.log_severity_level = 4
        index = {"device_id": device.index or 0}
        providers = [*((p, index) for p in chosen), CPU_PROVIDER]
        try:
            self._session = runtime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # onnxruntime raises classes of its own, one per status.
            raise ValueError(f"{file} cannot be run: {error}") from error
        graph_input = self._find_input(wanted.name)
        self._name, shape = graph_input.name, list(graph_input.shape)
        if graph_input.type not in TYPES:
            raise ValueError(f"{file} takes {graph_input.type}, which pixels cannot be")
        self._type: np.dtype = np.dtype(TYPES[graph_input.type])
        self._layout = self._find_layout(shape, wanted.layout)
        # An open side is a name or None.
        sides = {a: n for a, n in zip(self._layout, shape, strict=True) if isinstance(n, int)}
        self.batch: int = max(sides.get("N", 1), 1)
        self.size: tuple[int | None, int | None] = (sides.get("H"), sides.get("W"))
        if self.batch > 1:
            _log.warning(
                "%s takes %d images at once: it computes each frame so often; export it for one",
                *(file, self.batch),
            )
        self._is_bgr = wanted.color == "BGR"
        self._factor, self._shift = self._affine(wanted)

    def outputs(self) -> list[str]:
        """Return the names of the graph's outputs, in its order."""
        return [output.name for output in self._session.get_outputs()]

    def check_outputs(self, names: Sequence[str]) -> list[str]:
        """Return names of outputs; raise ValueError for one that the graph lacks."""
        known = self.outputs()
        for name in names:
            if name not in known:
                raise ValueError(f"{self.file} has no output {name!r}; it has {', '.join(known)}")
        return list(names)

    def __call__(self, pixels: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Return outputs for an image, float [3, h, w], RGB, 0..255, on the session's device.

        Raise GraphError that names the file where the graph refuses the input.
        """
        try:
            found = self._session.run(list(names), {self._name: self._prepared(pixels)})
        except Exception as error:  # as above
            size = "x".join(map(str, pixels.shape[1:]))
            raise GraphError(f"{self.file} cannot run an image of {size}: {error}") from error
        return [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in found]

    def _prepared(self, pixels: Tensor) -> np.ndarray:
        if self._is_bgr:
            pixels = pixels.flip(0)
        factor, shift = (pixels.new_tensor(v).view(3, 1, 1) for v in (self._factor, self._shift))
        pixels = pixels * factor - shift
        if self._type.kind in "iu":
            pixels = pixels.round()
        if self._layout in ("NHWC", "HWC"):
            pixels = pixels.permute(1, 2, 0)
        if "N" in self._layout:
            pixels = pixels.expand(self.batch, *pixels.shape)
        return pixels.cpu().numpy().astype(self._type, order="C")

    def _affine(self, wanted: OnnxInput) -> tuple[np.ndarray, np.ndarray]:
        """Return factor and shift per channel of (pixel * scale - mean) / std."""
        is_integer = self._type.kind in "iu"
        scale = wanted.scale if wanted.scale is not None else 1 if is_integer else 1 / 255
        factor, shift = scale / np.array(wanted.std), np.array(wanted.mean) / np.array(wanted.std)
        if is_integer:
            ends = np.round(np.array([[0], [255]]) * factor - shift)
            info = np.iinfo(self._type)
            if ends.min() < info.min or ends.max() > info.max or (ends[1] - ends[0]).min() < 127:
                raise ValueError(
                    f"{self.file} takes {self._type}; scale, mean and std make pixels "
                    f"{ends.min():g}..{ends.max():g} of 0..255: leave them out"
                )
        return factor, shift

    def _find_input(self, name: str) -> Any:
        inputs = {node.name: node for node in self._session.get_inputs()}
        if len(inputs) != 1 or (name and name not in inputs):
            raise ValueError(
                f"{self.file} has the inputs {', '.join(inputs)}; "
                f"it must have one, {name or 'the image'}"
            )
        return next(iter(inputs.values()))

    def _find_layout(self, shape: list[Any], wanted: str) -> str:
        """Return the layout of the graph's input, in which an RGB image fits."""
        channels = {x: shape[x.index("C")] for x in LAYOUTS if len(x) == len(shape)}
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


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(
            "onnxruntime is missing: `pip install onnxruntime` (onnxruntime-gpu for CUDA)"
        ) from error
    return onnxruntime
