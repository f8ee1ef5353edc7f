"""Public checkpoints: what there is (weights/manifest.yaml), bringing it here, keeping it whole."""

from panoptic_ros.weights.manifest import Entry, advice, load_manifest
from panoptic_ros.weights.places import find, folders

__all__ = ["Entry", "advice", "find", "folders", "load_manifest"]
