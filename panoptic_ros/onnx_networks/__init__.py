"""Networks given as ONNX files, as the semantic or the instance half of the pipeline."""

from panoptic_ros.onnx_networks.description import OnnxDescription, load_description
from panoptic_ros.onnx_networks.predictors import OnnxInstancePredictor, OnnxSemanticPredictor

__all__ = [
    "OnnxDescription",
    "OnnxInstancePredictor",
    "OnnxSemanticPredictor",
    "load_description",
]
