"""What runs a graph: onnxruntime, or OpenVINO on a CPU, behind the same few calls."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from panoptic_ros.cores import usable_threads
from panoptic_ros.whole_files import stranger

_log = logging.getLogger(__name__)
TENSORRT, CUDA = "TensorrtExecutionProvider", "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"
# Element types that pixels can have, by onnxruntime's names.
_TYPES = {
    **{f"tensor(int{bits})": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"tensor(uint{bits})": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    "tensor(float16)": np.dtype(np.float16),
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
}


@dataclass(frozen=True)
class GraphInput:
    """Describe an input: shape with names or None for open sides, type as the runtime names it.

    dtype: None where pixels cannot have it.
    """

    name: str
    shape: list[Any]
    type: str
    dtype: np.dtype | None


class Graph(Protocol):
    """Run a graph; `run` raises whatever its runtime raises."""

    inputs: list[GraphInput]
    outputs: list[str]

    def run(self, names: Sequence[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of some names."""


class OnnxRuntimeGraph:
    """Run an ONNX file by onnxruntime, on a GPU where it can."""

    def __init__(self, file: Path, device: torch.device) -> None:
        runtime = imported("onnxruntime", " (onnxruntime-gpu for CUDA)")
        providers = self._providers(file, device)
        options = runtime.SessionOptions()
        # Graph optimisations do not belong in a vehicle's log, and what fails is raised.
        options.log_severity_level = 4
        options.intra_op_num_threads = usable_threads()
        try:
            self._session = runtime.InferenceSession(str(file), options, providers=providers)
        except Exception as error:  # onnxruntime raises classes of its own, one per status.
            raise ValueError(f"{file} cannot be run: {error}") from error
        self.inputs = [
            GraphInput(node.name, list(node.shape), node.type, _TYPES.get(node.type))
            for node in self._session.get_inputs()
        ]
        self.outputs = [output.name for output in self._session.get_outputs()]

    def _providers(self, file: Path, device: torch.device) -> list[Any]:
        """Return what runs the graph's operators, the first that can, as onnxruntime takes them."""
        if device.type != "cuda":
            return [CPU_PROVIDER]
        if CUDA not in _available():
            _log.warning(
                "%s runs on the CPU: this onnxruntime has no CUDA provider; install "
                "onnxruntime-gpu in its place",
                file,
            )
            return [CPU_PROVIDER]
        return [(CUDA, {"device_id": device.index or 0}), CPU_PROVIDER]

    def run(self, names: Sequence[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of some names."""
        return self._session.run(list(names), feed)


class OpenVinoGraph:
    """Run an ONNX file, or OpenVINO's own .xml, by OpenVINO on the CPU.

    Computed in float32 but for what the graph itself holds in int8: OpenVINO's own choice is
    bfloat16 where the processor has it, which moves boxes.
    """

    def __init__(self, file: Path, device: torch.device) -> None:
        openvino = imported("openvino")
        if device.type == "cuda":
            _log.warning("%s runs on the CPU: OpenVINO knows no CUDA", file)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": usable_threads(),
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            self._model = openvino.Core().compile_model(str(file), "CPU", settings)
        except Exception as error:  # a RuntimeError, or one of its own
            raise ValueError(f"{file} cannot be run: {error}") from error
        self._request = self._model.create_infer_request()
        self.inputs = []
        for port in self._model.inputs:
            sides = [d.get_length() if d.is_static else None for d in port.partial_shape]
            kind = np.dtype(port.element_type.to_dtype())
            known = kind if kind in _TYPES.values() else None
            self.inputs.append(GraphInput(port.any_name, sides, str(kind), known))
        # One may have several names, its own and those of operators that it passes through.
        self.outputs = [name for port in self._model.outputs for name in sorted(port.names)]

    def run(self, names: Sequence[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs of some names."""
        self._request.infer(feed)
        return [self._request.get_tensor(name).data.copy() for name in names]


class TensorRtGraph(OnnxRuntimeGraph):
    """Run an ONNX file by TensorRT, through onnxruntime.

    TensorRT's own engines are kept in a folder beside the file. Raises as `require_tensorrt` does.
    """

    def __init__(self, file: Path, device: torch.device, half: bool = True) -> None:
        self._half = half
        super().__init__(file, device)

    def _providers(self, file: Path, device: torch.device) -> list[Any]:
        require_tensorrt(device)
        settings = {
            "device_id": device.index or 0,
            "trt_fp16_enable": self._half,
            # Ranges that the graph brings, as `quantise` writes them, are read with this alone.
            "trt_int8_enable": b"QuantizeLinear" in file.read_bytes(),
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(file.with_suffix("")),
            "trt_timing_cache_enable": True,
        }
        return [(TENSORRT, settings), *super()._providers(file, device)]


def has_tensorrt(device: torch.device) -> bool:
    """Say whether onnxruntime is here and runs TensorRT on a device."""
    try:
        return device.type == "cuda" and TENSORRT in _available()
    except ValueError:
        return False


def require_tensorrt(device: torch.device) -> None:
    """Raise ValueError where the device is no CUDA device, or onnxruntime has no TensorRT."""
    if not has_tensorrt(device):
        raise ValueError(
            f"TensorRT is missing: it needs a CUDA device and an onnxruntime-gpu with {TENSORRT}; "
            f"this one has {', '.join(_available())}, the device is {device}"
        )


def _available() -> list[str]:
    return list(imported("onnxruntime", " (onnxruntime-gpu for CUDA)").get_available_providers())


RUNTIMES: dict[str, Callable[[Path, torch.device], Graph]] = {
    "onnx": OnnxRuntimeGraph,
    "openvino": OpenVinoGraph,
    "tensorrt": TensorRtGraph,
    "tensorrt_float32": partial(TensorRtGraph, half=False),
}


def version_of(runtime: str) -> str:
    """Return the version of a runtime's package; raise ValueError where it is missing."""
    return str(imported("openvino" if runtime == "openvino" else "onnxruntime").__version__)


def open_graph(file: Path, device: torch.device, runtime: str = "onnx") -> Graph:
    """Return a graph ready to run; runtime: a key of RUNTIMES, openvino always for an .xml.

    Raise ValueError where the runtime is missing or cannot read the file.
    """
    with file.open("rb") as opened:
        words = stranger(opened.read(64)) if file.suffix != ".xml" else ""
    if words:
        raise ValueError(f"{file} {words}")
    return RUNTIMES["openvino" if file.suffix == ".xml" else runtime](file, device)


def imported(module: str, note: str = "") -> Any:
    """Return a module; raise ValueError that says how to install it where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{module} is missing: `pip install {module}`{note}") from error
