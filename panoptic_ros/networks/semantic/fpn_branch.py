"""Panoptic FPN's semantic branch.

Source: Kirillov et al. 2019, "Panoptic Feature Pyramid Networks", section 3 and figure 3.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from panoptic_ros.networks.semantic import LEVELS, conv_group_norm, upsample


class FpnBranch(nn.Module):
    """Score each pixel from the sum of all levels, each brought to stride 4 step by step.

    Level P2 passes one stage, P3 one, P4 two, P5 three: 3x3 convolution, group norm, ReLU and,
    but for P2, bilinear upsampling by two.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int = 128) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.levels = nn.ModuleList(
            nn.ModuleList(
                conv_group_norm(channels if stage else in_channels, channels)
                for stage in range(max(1, level))
            )
            for level in range(LEVELS)
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Return logits [B, num_classes, H / 4, W / 4] of the levels P2 to P5."""
        # The sizes of the levels themselves: with odd sides, twice the coarser one is not it.
        sizes = [tuple(level.shape[2:]) for level in pyramid]
        total = None
        for level, (features, stages) in enumerate(zip(pyramid, self.levels, strict=True)):
            for step, stage in enumerate(stages.children()):
                features = stage(features)
                if level:
                    features = upsample(features, sizes[level - step - 1])
            total = features if total is None else total + features
        return self.classifier(total)
