"""Semantic heads on a feature pyramid: P2 to P5 in, logits of all classes out.

A pyramid is a list of float [B, channels, H / s, W / s], s = 4, 8, 16, 32, fine to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import Conv2dNormActivation

# Of a pyramid.
LEVELS = 4
GROUPS = 32


def conv_group_norm(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return 3x3 convolution, group norm and ReLU, at the same size.

    Raise ValueError where the output's channels are no multiple of 32.
    """
    norm = partial(nn.GroupNorm, GROUPS)
    return Conv2dNormActivation(in_channels, out_channels, norm_layer=norm)


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return features [B, C, h, w] at another size (bilinear, half-pixel centres)."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
