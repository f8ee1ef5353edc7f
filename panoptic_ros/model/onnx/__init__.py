"""Networks given as ONNX files, as the semantic or the instance half of the pipeline."""

from panoptic_ros.model.onnx.description import OnnxDescription, described_file, load_description
from panoptic_ros.model.onnx.onnx_predictors import OnnxInstancePredictor, OnnxSemanticPredictor

__all__ = [
    "OnnxDescription",
    "OnnxInstancePredictor",
    "OnnxSemanticPredictor",
    "described_file",
    "load_description",
]
