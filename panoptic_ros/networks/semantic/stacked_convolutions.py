"""OANet's stuff branch: two stacked convolutions, shared over the pyramid's levels.

Source: Liu et al. 2019, "An End-to-End Network for Panoptic Segmentation", section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from panoptic_ros.networks.semantic import LEVELS, conv_group_norm, upsample


class StackedConvolutions(nn.Module):
    """Score each pixel from all levels after two 3x3 convolutions, at stride 4 and stacked."""

    def __init__(self, in_channels: int, num_classes: int, channels: int = 128) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stack = nn.Sequential(
            conv_group_norm(in_channels, channels), conv_group_norm(channels, channels)
        )
        self.join = conv_group_norm(LEVELS * channels, channels)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return logits [B, num_classes, H / 4, W / 4] of the levels P2 to P5."""
        size = tuple(pyramid[0].shape[2:])
        stacked = [upsample(self.stack(level), size) for level in pyramid]
        return self.classifier(self.join(torch.cat(stacked, dim=1)))
