"""A random MobileNetV2 in the folded format, and the networks that start from it."""

from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from panoptic_ros.networks import build

SEMANTIC = {"name": "deeplabv3plus_mobilenetv2", "num_classes": 19, "decoder_channels": 8}
DETECTOR = {
    "name": "mask_rcnn",
    "backbone": "mobilenet_v2_fpn",
    "num_classes": 8,
    "fpn_channels": 8,
    "box_channels": 8,
    "mask_channels": [8],
}


def write(path: Path) -> Path:
    """Write the file, with weights that keep the deviation of what they convolve."""
    torch.manual_seed(4)
    tensors = {}
    layers = build(SEMANTIC).backbone.modules()
    for i, conv in enumerate(m for m in layers if isinstance(m, nn.Conv2d)):
        deviation = (2 / conv.weight[0].numel()) ** 0.5
        tensors[f"{i:02d}w"] = (torch.randn_like(conv.weight) * deviation).half()
        tensors[f"{i:02d}b"] = torch.randn(conv.out_channels).half() / 2
    safetensors.torch.save_file(tensors, path)
    return path
