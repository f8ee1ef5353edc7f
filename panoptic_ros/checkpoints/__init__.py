"""Weights on disk: safetensors, with a JSON side file that says what they are."""

from panoptic_ros.checkpoints.files import load, save

__all__ = ["load", "save"]
