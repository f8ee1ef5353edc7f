"""Networks given as ONNX files, as a half of the pipeline or all of it."""

from panoptic_ros.model.onnx.description import (
    OnnxDescription,
    described_file,
    exported_from,
    load_description,
)
from panoptic_ros.model.onnx.onnx_predictors import (
    OnnxGraph,
    OnnxInstancePredictor,
    OnnxPanopticPredictor,
    OnnxSemanticPredictor,
)

__all__ = [
    "OnnxDescription",
    "OnnxGraph",
    "OnnxInstancePredictor",
    "OnnxPanopticPredictor",
    "OnnxSemanticPredictor",
    "described_file",
    "exported_from",
    "load_description",
]
