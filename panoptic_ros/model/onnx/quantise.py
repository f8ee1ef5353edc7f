"""Make a graph compute in int8 where that costs little, from what it sees on some pictures.

Source: onnxruntime's static quantisation, in the form that keeps the graph's own operators
between Q and DQ nodes, which OpenVINO and TensorRT read, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from panoptic_ros.model.onnx.runtimes import imported

# What holds nearly all of the arithmetic.
OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What a layer gives is rounded after these have cut it: before, its range is many times as wide.
ACTIVATIONS = ("Clip", "Relu")


def quantise(
    file: Path, target: Path, images: Sequence[np.ndarray], name: str, symmetric: bool = False
) -> None:
    """Write an int8 form of an ONNX file.

    images: what the input of a name sees in use, each of its shape; ranges are the least and the
    largest value on them; symmetric: around zero, the only ones that TensorRT reads. Raise
    ValueError where a package is missing.
    """
    quantization = imported("onnxruntime.quantization")
    shapes = imported("onnxruntime.quantization.shape_inference")

    class Images(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self._left = iter([{name: image} for image in images])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / file.name
        shapes.quant_pre_process(str(file), str(folded), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(folded),
            str(target),
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=[*OPERATORS, *ACTIVATIONS],
            per_channel=True,
            activation_type=getattr(quantization.QuantType, "QInt8" if symmetric else "QUInt8"),
            weight_type=quantization.QuantType.QInt8,
            # Ranges around zero cannot do an activation's work: there no layer's output is rounded.
            extra_options={
                "ActivationSymmetric": symmetric,
                "OpTypesToExcludeOutputQuantization": list(OPERATORS) if symmetric else [],
            },
        )
