"""OANet's spatial ranking module: which of two overlapping instances is in front.

Source: Liu et al. 2019, "An End-to-End Network for Panoptic Segmentation", section 3.3. The
kernel's size is the large separable kernel's of Peng et al. 2017 ("Large Kernel Matters").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpatialRanking(nn.Module):
    """Give each pixel a score per thing class from the instances' masks alone.

    class_ids: label ids of the thing classes; kernel: side of the separable kernel, odd.
    Starts as the identity on each class's channel: every instance ranks about the same, so
    that the order of scores decides until it has learned.
    Raise ValueError for an even kernel.
    """

    def __init__(self, class_ids: list[int] | tuple[int, ...], kernel: int = 7) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; it must be odd and positive")
        self.class_ids = tuple(int(i) for i in class_ids)
        count = len(self.class_ids)

        def line(height: int, width: int) -> nn.Conv2d:
            padding = (height // 2, width // 2)
            return nn.Conv2d(count, count, (height, width), padding=padding)

        self.rows_first = nn.Sequential(line(kernel, 1), line(1, kernel))
        self.columns_first = nn.Sequential(line(1, kernel), line(kernel, 1))
        for convolution in (*self.rows_first, *self.columns_first):
            nn.init.zeros_(convolution.bias)
            nn.init.normal_(convolution.weight, std=0.01)
            with torch.no_grad():
                middle = convolution.weight[
                    :, :, convolution.kernel_size[0] // 2, convolution.kernel_size[1] // 2
                ]
                middle += torch.eye(count)

    def forward(self, occupied: Tensor) -> Tensor:
        """Return scores, float [B, K, H, W]: logits over the classes at each pixel.

        occupied: float [B, K, H, W], 1 where an instance of the class has its mask, else 0.
        """
        return self.rows_first(occupied) + self.columns_first(occupied)
