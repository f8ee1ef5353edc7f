"""The semantic head of De Geus et al.: pyramid pooling on one level of stride 8.

Sources: de Geus et al. 2019, "Single Network Panoptic Segmentation for Street Scene
Understanding", section III-A; Zhao et al. 2017, "Pyramid Scene Parsing Network".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation

from panoptic_ros.networks.semantic import upsample

# Sides of the pooling windows, in cells of the level.
WINDOWS = (60, 30, 20, 10)
# P3, the level of stride 8.
LEVEL = 1


class PyramidPooling(nn.Module):
    """Score each pixel from its features and their means in windows of four sizes.

    A level smaller than a window is pooled as a whole.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 128) -> None:
        super().__init__()
        self.num_classes = num_classes
        width = in_channels // len(WINDOWS)
        self.branches = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in WINDOWS)
        joined = in_channels + width * len(WINDOWS)
        self.join = Conv2dNormActivation(joined, channels, 3)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return logits [B, num_classes, H / 8, W / 8] of level P3 among P2 to P5."""
        features = pyramid[LEVEL]
        # Numbers for an exporter, too, which gives sizes as tensors.
        size = (int(features.shape[2]), int(features.shape[3]))
        parts = [features]
        for window, branch in zip(WINDOWS, self.branches, strict=True):
            kernel = (min(window, size[0]), min(window, size[1]))
            # The windows at the end may be cut short; their mean is over what they hold.
            pooled = F.avg_pool2d(features, kernel, ceil_mode=True, count_include_pad=False)
            parts.append(upsample(F.relu(branch(pooled)), size))
        return self.classifier(self.join(torch.cat(parts, dim=1)))
