"""UPSNet's semantic head: a subnet of deformable convolutions, shared over the levels.

Sources: Xiong et al. 2019, "UPSNet: A Unified Panoptic Segmentation Network", section 3.1;
Dai et al. 2017, "Deformable Convolutional Networks".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d

from panoptic_ros.networks.semantic import GROUPS, LEVELS, upsample

KERNEL = 3


class DeformableStage(nn.Module):
    """Apply a 3x3 deformable convolution, group norm and ReLU.

    The offsets start at zero, which is a plain convolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        padding = KERNEL // 2
        self.offset = nn.Conv2d(in_channels, 2 * KERNEL**2, KERNEL, padding=padding)
        for values in self.offset.parameters():
            nn.init.zeros_(values)
        self.convolution = DeformConv2d(
            in_channels, out_channels, KERNEL, padding=padding, bias=False
        )
        self.norm = nn.GroupNorm(GROUPS, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features [B, out_channels, H, W]."""
        offset = self.offset(x)
        # torchvision's operator knows no bfloat16, and on a CPU not that it is under autocast.
        with torch.autocast(x.device.type, enabled=False):
            features = self.convolution(x.float(), offset.float())
        return F.relu(self.norm(features))


class DeformableSubnet(nn.Module):
    """Score each pixel from all levels, brought to stride 4 and stacked.

    depth: deformable convolutions of so many channels, two or three in the paper.
    """

    def __init__(
        self, in_channels: int, num_classes: int, channels: int = 128, depth: int = 2
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        widths = [in_channels, *[channels] * depth]
        self.subnet = nn.Sequential(
            *(DeformableStage(*pair) for pair in itertools.pairwise(widths))
        )
        self.classifier = nn.Conv2d(LEVELS * channels, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return logits [B, num_classes, H / 4, W / 4] of the levels P2 to P5."""
        size = tuple(pyramid[0].shape[2:])
        stacked = [upsample(self.subnet(level), size) for level in pyramid]
        return self.classifier(torch.cat(stacked, dim=1))
