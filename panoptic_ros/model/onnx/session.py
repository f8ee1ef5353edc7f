"""Run an ONNX graph with onnxruntime, on a GPU where it can."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.model.onnx.description import OnnxDescription

_log = logging.getLogger(__name__)
GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")
CPU_PROVIDER = "CPUExecutionProvider"


class OnnxSession:
    """Hold a graph, ready to run on images.

    size: (h, w) that the graph fixes for its input, None for a side it leaves open.
    Raise RuntimeError where onnxruntime is missing, ValueError that names the file where it
    is no ONNX graph or lacks an input or output that its description names.
    """

    def __init__(self, description: OnnxDescription, device: torch.device) -> None:
        runtime = _runtime()
        self._file, self._input = description.file, description.input
        self.device = device
        available = runtime.get_available_providers()
        chosen = [p for p in GPU_PROVIDERS if p in available] if device.type == "cuda" else []
        if device.type == "cuda" and not chosen:
            _log.warning(
                "%s runs on the CPU: this onnxruntime has no CUDA provider; install "
                "onnxruntime-gpu in its place",
                self._file,
            )
        options = runtime.SessionOptions()
        # A vehicle's log is for what its driver must know, not for graph optimisations.
        options.log_severity_level = 3
        index = {"device_id": device.index or 0}
        providers = [*((p, index) for p in chosen), CPU_PROVIDER]
        try:
            self._session = runtime.InferenceSession(str(self._file), options, providers=providers)
        except Exception as error:  # onnxruntime raises classes of its own, one per status.
            raise ValueError(f"{self._file} cannot be run: {error}") from error
        self._graph_input = self._find_input()
        self.size = self._fixed_size()

    def outputs(self, names: Sequence[str]) -> list[str]:
        """Return names as the graph's outputs; an empty one is the first.

        Raise ValueError for an output that the graph lacks.
        """
        known = [output.name for output in self._session.get_outputs()]
        for name in names:
            if name and name not in known:
                raise ValueError(f"{self._file} has no output {name!r}; it has {', '.join(known)}")
        return [name or known[0] for name in names]

    def __call__(self, pixels: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Return outputs for an image, float [3, h, w], RGB, 0..255, on the session's device.

        Raise ValueError that names the file where the graph refuses the input.
        """
        feed = {self._graph_input.name: self._prepared(pixels)}
        try:
            found = self._session.run(list(names), feed)
        except Exception as error:  # as above
            raise ValueError(f"{self._file} cannot run this image: {error}") from error
        return [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in found]

    def _prepared(self, pixels: Tensor) -> np.ndarray:
        wanted = self._input
        if wanted.color == "BGR":
            pixels = pixels.flip(0)
        mean, std = (pixels.new_tensor(v).view(3, 1, 1) for v in (wanted.mean, wanted.std))
        pixels = (pixels * wanted.scale - mean) / std
        if wanted.layout == "NHWC":
            pixels = pixels.permute(1, 2, 0)
        if wanted.layout != "CHW":
            pixels = pixels[None]
        half = self._graph_input.type == "tensor(float16)"
        return pixels.cpu().numpy().astype(np.float16 if half else np.float32, order="C")

    def _find_input(self) -> object:
        inputs = {node.name: node for node in self._session.get_inputs()}
        name = self._input.name or next(iter(inputs))
        if name not in inputs or len(inputs) > 1:
            raise ValueError(
                f"{self._file} has the inputs {', '.join(inputs)}; "
                f"it must have one, {self._input.name or 'the image'}"
            )
        return inputs[name]

    def _fixed_size(self) -> tuple[int | None, int | None]:
        shape, layout = list(self._graph_input.shape), self._input.layout
        if len(shape) != len(layout):
            raise ValueError(f"{self._file} takes {shape}, which is no {layout}")
        sides = (shape[layout.index(axis)] for axis in "HW")
        # An open side is a name or None.
        height, width = (side if isinstance(side, int) else None for side in sides)
        return height, width


def _runtime() -> object:
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeError(
            "onnxruntime is missing: `pip install onnxruntime` (onnxruntime-gpu for CUDA)"
        ) from error
    return onnxruntime
