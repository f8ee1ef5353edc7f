"""Weights on disk: safetensors, with a JSON side file that says what they are."""

from panoptic_ros.checkpoints.convert import Converted, convert
from panoptic_ros.checkpoints.files import load, read_side_file, save

__all__ = ["Converted", "convert", "load", "read_side_file", "save"]
