"""Networks exported to ONNX, with their descriptions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from panoptic_ros.networks import build

THINGS = ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]


def export(network: nn.Module, example: Any, folder: Path, outputs: list[str], **options) -> None:
    """Write FOLDER/net.onnx; options go to torch.onnx.export."""
    with warnings.catch_warnings():
        # The exporter on TorchScript needs nothing but onnx, and says that it is the older one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            str(folder / "net.onnx"),
            input_names=["image"],
            output_names=outputs,
            dynamo=False,
            opset_version=17,
            **options,
        )


def describe(folder: Path, **content: Any) -> Path:
    """Write FOLDER/net.yaml and return its path."""
    path = folder / "net.yaml"
    path.write_text(yaml.safe_dump({"file": "net.onnx", **content}))
    return path


def deeplab() -> nn.Module:
    """Return an untrained DeepLabV3+ of a fixed seed."""
    torch.manual_seed(0)
    architecture = {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19, "decoder_channels": 16}
    return build(architecture).eval()


def mask_rcnn() -> nn.Module:
    """Return an untrained Mask R-CNN of a fixed seed, that detects something."""
    torch.manual_seed(1)
    return build(
        {
            "name": "mask_rcnn",
            "backbone": "mobilenet_v2_fpn",
            "num_classes": 8,
            "fpn_channels": 16,
            "box_channels": 32,
            "mask_channels": [8],
            "anchor_sizes": [16, 32, 64, 128, 256],
            "proposals": 20,
            "detections": 5,
            "score_threshold": 0.0,
        }
    ).eval()
