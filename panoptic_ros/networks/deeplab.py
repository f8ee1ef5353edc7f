"""DeepLabV3+ on MobileNetV2, output stride 16, for semantic segmentation.

Sources: Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic
Image Segmentation"; Sandler et al. 2018, "MobileNetV2". Layers, padding and parameter names
are those of the public Cityscapes checkpoint of VainF/DeepLabV3Plus-Pytorch.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.ops import Conv2dNormActivation

LOW_LEVEL_CHANNELS = 24
HIGH_LEVEL_CHANNELS = 320
PROJECTED_CHANNELS = 48
ATROUS_RATES = (6, 12, 18)
DROPOUT = 0.1
# Of an image: the stem is not padded.
SMALLEST_SIDE = 3

# Stages of MobileNetV2 (table 2): expansion, channels, blocks, stride of the first block,
# dilation of the first block and of the others. The last-but-one stage keeps its resolution
# (output stride 16): its later blocks are dilated instead, and so is the last stage.
STAGES = (
    (1, 16, 1, 1, 1, 1),
    (6, 24, 2, 2, 1, 1),
    (6, 32, 3, 2, 1, 1),
    (6, 64, 4, 2, 1, 1),
    (6, 96, 3, 1, 1, 1),
    (6, 160, 3, 1, 1, 2),
    (6, 320, 1, 1, 2, 2),
)
# The stem and the first two stages: what the decoder takes as low-level features.
LOW_LEVEL_BLOCKS = 4
_unpadded = partial(Conv2dNormActivation, padding=0, activation_layer=nn.ReLU6)


class InvertedResidual(nn.Module):
    """Expand, filter depthwise and project; padded before the expansion.

    The checkpoint was trained so: what the border adds has passed the expansion's batch
    norm and is not zero. Padding inside the depthwise convolution gives other logits.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, dilation: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_unpadded(in_channels, hidden, kernel_size=1))
        layers += [
            _unpadded(hidden, hidden, stride=stride, dilation=dilation, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.padding = [dilation] * 4
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return features [B, out_channels, ceil(H / stride), ceil(W / stride)]."""
        out = self.conv(F.pad(x, self.padding))
        return x + out if self.is_residual else out


class MobileNetV2Features(nn.Module):
    """Extract features at strides 4 and 16 (24 and 320 channels)."""

    def __init__(self) -> None:
        super().__init__()
        # The stem alone is not padded.
        blocks: list[nn.Module] = [_unpadded(3, 32, stride=2)]
        channels = 32
        for expansion, width, count, first_stride, first_dilation, dilation in STAGES:
            for i in range(count):
                stride, rate = (1, dilation) if i else (first_stride, first_dilation)
                blocks.append(InvertedResidual(channels, width, stride, rate, expansion))
                channels = width
        named = [(str(i), block) for i, block in enumerate(blocks)]
        self.low_level_features = nn.Sequential(OrderedDict(named[:LOW_LEVEL_BLOCKS]))
        self.high_level_features = nn.Sequential(OrderedDict(named[LOW_LEVEL_BLOCKS:]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return low-level [B, 24, H/4, W/4] and high-level [B, 320, H/16, W/16] features."""
        low = self.low_level_features(x)
        return low, self.high_level_features(low)


class Decoder(nn.Module):
    """Join the ASPP's output with the projected low-level features and classify.

    width: channels of the ASPP and of the layer before the classes.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.project = Conv2dNormActivation(LOW_LEVEL_CHANNELS, PROJECTED_CHANNELS, 1)
        self.aspp = ASPP(HIGH_LEVEL_CHANNELS, ATROUS_RATES, width)
        # torchvision's own rate is 0.5.
        self.aspp.project[-1].p = DROPOUT
        self.classifier = nn.Sequential(
            *Conv2dNormActivation(width + PROJECTED_CHANNELS, width),
            nn.Conv2d(width, num_classes, 1),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Return logits [B, num_classes, h, w] at the size of the low-level features."""
        projected = self.project(low)
        context = F.interpolate(
            self.aspp(high), size=projected.shape[2:], mode="bilinear", align_corners=False
        )
        return self.classifier(torch.cat([projected, context], dim=1))


class DeepLabV3Plus(nn.Module):
    """Score each pixel for each class.

    num_classes: output channels; decoder_channels: width of ASPP and decoder, 256 in the
    paper and in the public checkpoint, less for a network that runs on a CPU.
    """

    def __init__(self, num_classes: int, decoder_channels: int = 256) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.backbone = MobileNetV2Features()
        self.classifier = Decoder(num_classes, decoder_channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits float [B, num_classes, about H/4, about W/4].

        images: float [B, 3, H, W], RGB in 0..1 normalised by ImageNet's mean and deviation;
        H, W >= SMALLEST_SIDE. In training mode B >= 2 (batch norm over the pooled image). Upsample
        the logits to H x W bilinearly, align_corners=False.
        """
        return self.classifier(*self.backbone(images))
