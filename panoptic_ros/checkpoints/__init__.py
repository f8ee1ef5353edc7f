"""Weights on disk: ours (safetensors and a JSON side file), third-party files, downloads."""

from panoptic_ros.checkpoints.convert import Converted, convert
from panoptic_ros.checkpoints.manifest import Entry, advice, load_manifest
from panoptic_ros.checkpoints.places import find, folders
from panoptic_ros.checkpoints.weights_file import digest_of, load, read_side_file, save

__all__ = [
    "Converted",
    "Entry",
    "advice",
    "convert",
    "digest_of",
    "find",
    "folders",
    "load",
    "load_manifest",
    "read_side_file",
    "save",
]
