"""AUNet's background branch: stuff, guided by the things.

Source: Li et al. 2019, "Attention-guided Unified Network for Panoptic Segmentation", sections
3.2 (proposal attention), 3.3 (mask attention) and 3.4 (RoIUpsample).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from panoptic_ros.networks.semantic import LEVELS, conv_group_norm, upsample

# Of the channels that squeeze-and-excite passes through.
REDUCTION = 4


class BackgroundSelect(nn.Module):
    """Attend to what is not foreground, then weigh the channels.

    s + s * (1 - sigmoid(conv(foreground))), equation 1, followed by group norm and the
    squeeze-and-excite of Hu et al. 2018 as background selection, equation 2.
    """

    def __init__(self, foreground_channels: int, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv2d(foreground_channels, channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 1, 1),
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // REDUCTION, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // REDUCTION, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, stuff: Tensor, foreground: Tensor) -> Tensor:
        """Return features like stuff, [B, channels, h, w]; foreground: [B, ., h, w]."""
        attended = stuff + stuff * (1 - self.attention(foreground).sigmoid())
        return attended + attended * self.excite(attended)


class AttentionBranch(nn.Module):
    """Score each pixel; proposals and masks of the foreground branch guide the features.

    rpn_channels: of the features of the region proposal network; mask_channels: of what the
    mask head gives for each region.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        rpn_channels: int,
        mask_channels: int,
        channels: int = 128,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stages = nn.ModuleList(conv_group_norm(in_channels, channels) for _ in range(LEVELS))
        self.proposal_attention = nn.ModuleList(
            BackgroundSelect(rpn_channels, channels) for _ in range(LEVELS)
        )
        self.mask_attention = BackgroundSelect(mask_channels, channels)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(
        self,
        pyramid: Sequence[Tensor],
        rpn_features: Sequence[Tensor],
        masks: Tensor,
        boxes: Tensor,
    ) -> Tensor:
        """Return logits [B, num_classes, H / 4, W / 4] of the levels P2 to P5.

        rpn_features: [B, rpn_channels, h, w] per level; masks: [R, mask_channels, M, M] of the
        regions boxes, [R, 5]: index in the batch and xyxy in pixels of the image.
        """
        size = (pyramid[0].shape[2], pyramid[0].shape[3])
        total: Tensor | float = 0.0
        for features, stage, attention, rpn in zip(
            pyramid, self.stages, self.proposal_attention, rpn_features, strict=True
        ):
            total = total + upsample(attention(stage(features), rpn), size)
        pasted = roi_upsample(masks, boxes, (len(pyramid[0]), *size), spatial_scale=1 / 4)
        return self.classifier(self.mask_attention(total, pasted))


def roi_upsample(
    masks: Tensor, boxes: Tensor, shape: tuple[int, int, int], spatial_scale: float
) -> Tensor:
    """Write regions back into a feature map: the inverse of RoIAlign, float [B, C, h, w].

    masks: [R, C, M, M]; boxes: [R, 5], index in the batch and xyxy in the image; shape:
    (B, h, w) of the map; spatial_scale: map cells per pixel. Each bin is written to the four
    cells from which an aligned RoIAlign with one sample a bin reads it, with the weights
    w / sum w^2 of that reading: reading what a bin alone has written gives it back. Parts of
    several bins add up, so this is RoIAlign's adjoint, but for the bins' norms.
    """
    batch, height, width = shape
    index, weight = _taps(boxes, masks.shape[-1], (height, width), spatial_scale)
    share = weight / weight.square().sum(-1, keepdim=True).clamp(min=1e-6)
    cells = boxes[:, :1].long()[..., None] * height * width + index
    values = masks.flatten(2).permute(0, 2, 1)[:, :, None] * share[..., None]
    flat = masks.new_zeros(batch * height * width, masks.shape[1])
    flat.index_add_(0, cells.flatten(), values.flatten(0, 2).to(flat.dtype))
    return flat.view(batch, height, width, -1).permute(0, 3, 1, 2)


def _taps(boxes: Tensor, bins: int, size: tuple[int, int], scale: float) -> tuple[Tensor, Tensor]:
    """Return the four cells that each bin's centre lies between, and their bilinear weights.

    Both [R, bins * bins, 4]; cells as row * width + column.
    """
    centres = (torch.arange(bins, device=boxes.device, dtype=boxes.dtype) + 0.5) / bins
    (y0, y1, wy), (x0, x1, wx) = (
        _line(boxes[:, first], boxes[:, last], centres, limit, scale)
        for first, last, limit in ((2, 4, size[0]), (1, 3, size[1]))
    )
    rows = torch.stack([y0, y0, y1, y1], -1)[:, :, None]
    columns = torch.stack([x0, x1, x0, x1], -1)[:, None]
    along = torch.stack([1 - wy, 1 - wy, wy, wy], -1)[:, :, None]
    across = torch.stack([1 - wx, wx, 1 - wx, wx], -1)[:, None]
    return (rows * size[1] + columns).flatten(1, 2), (along * across).flatten(1, 2)


def _line(
    start: Tensor, stop: Tensor, centres: Tensor, limit: int, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells around each bin's centre along an axis, and the weight of the second."""
    position = (start[:, None] + (stop - start)[:, None] * centres) * scale - 0.5
    position = position.clamp(0, limit - 1)
    first = position.floor().long().clamp(max=limit - 1)
    return first, (first + 1).clamp(max=limit - 1), position - first
