"""The Convolutional Panoptic Head: one small CNN per thing class.

Source: Inria report RT-0506, "Contribution to panoptic segmentation". For an instance of
class k, its mask and the semantic masks are stacked, convolved channel by channel, then
mixed by one convolution to a single channel; a sigmoid gives the refined mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Slope of the untrained sigmoid: logits of -4 and 4 at mask probabilities 0 and 1.
IDENTITY_GAIN = 8.0


class ClassCNN(nn.Module):
    """Refine masks of one class: depthwise convolution, then a convolution to one channel.

    Both are unpadded: the caller pads the input once, by `radius`, with zeros beyond the
    image. So the two convolutions are one linear map everywhere, borders included, and
    `kernel` gives it. The depthwise convolution has no bias (the second one's covers it).
    """

    def __init__(self, channels: int, depthwise_kernel: int, mix_kernel: int) -> None:
        super().__init__()
        for name, size in (("depthwise_kernel", depthwise_kernel), ("mix_kernel", mix_kernel)):
            if size < 1 or size % 2 == 0:
                raise ValueError(f"{name} is {size}; it must be odd and positive")
        self.depthwise = nn.Conv2d(
            channels, channels, depthwise_kernel, groups=channels, bias=False
        )
        self.mix = nn.Conv2d(channels, 1, mix_kernel)
        self.radius = (depthwise_kernel + mix_kernel) // 2 - 1
        self.reset_parameters()

    @property
    def bias(self) -> Tensor:
        """The second convolution's bias, [1]."""
        assert self.mix.bias is not None
        return self.mix.bias

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start as the identity on channel 0: sigmoid(g * (m - 0.5)) crosses 0.5 where m does.

        The report's rare classes collapsed; from here, training can only move the head
        away from the heuristic where the data says so.
        """
        nn.init.zeros_(self.depthwise.weight)
        nn.init.zeros_(self.mix.weight)
        centre = self.depthwise.kernel_size[0] // 2
        self.depthwise.weight[:, 0, centre, centre] = 1
        centre = self.mix.kernel_size[0] // 2
        self.mix.weight[0, 0, centre, centre] = IDENTITY_GAIN
        nn.init.constant_(self.bias, -IDENTITY_GAIN / 2)

    def forward(self, stacked: Tensor) -> Tensor:
        """Return logits [B, 1, h, w] of stacked masks [B, C, h + 2 * radius, w + 2 * radius]."""
        return self.mix(self.depthwise(stacked))

    def kernel(self) -> Tensor:
        """Return both convolutions as one kernel, [1, C, 2 * radius + 1, 2 * radius + 1]."""
        flipped = self.depthwise.weight.flip(2, 3)
        full = self.depthwise.kernel_size[0] - 1
        return F.conv2d(self.mix.weight, flipped, padding=full, groups=len(flipped))


@dataclass(frozen=True)
class HeadKernels:
    """Hold a head, up to its sigmoid, as one convolution for each class.

    class_ids: label ids, in the order of kernels [K, C, k, k] and bias [K].
    """

    class_ids: tuple[int, ...]
    kernels: Tensor
    bias: Tensor

    @property
    def radius(self) -> int:
        """How far around a pixel it sees."""
        return self.kernels.shape[3] // 2

    def number(self, class_id: int) -> int:
        """Return which of the kernels is a class's; raise ValueError for one without any."""
        return _number(self.class_ids, class_id)


def _number(class_ids: Sequence[int], class_id: int) -> int:
    if class_id not in class_ids:
        raise ValueError(f"the head has no CNN for class {class_id}; it has {class_ids}")
    return class_ids.index(class_id)


class PanopticHead(nn.Module):
    """Hold one ClassCNN per thing class.

    class_ids: label ids of the thing classes; num_semantic: channels of the semantic
    prediction. Channel 0 of a CNN is the instance's mask, 1.. are the semantic masks.
    """

    def __init__(
        self,
        class_ids: Sequence[int],
        num_semantic: int = 19,
        depthwise_kernel: int = 3,
        mix_kernel: int = 3,
    ) -> None:
        super().__init__()
        self.class_ids = tuple(int(i) for i in class_ids)
        self.num_semantic = num_semantic
        self.cnns = nn.ModuleDict(
            {
                str(i): ClassCNN(1 + num_semantic, depthwise_kernel, mix_kernel)
                for i in self.class_ids
            }
        )
        self.radius = (depthwise_kernel + mix_kernel) // 2 - 1

    def cnn(self, class_id: int) -> ClassCNN:
        """Return the CNN of a class; raise ValueError for a class without one."""
        cnn = self.cnns[str(self.class_ids[_number(self.class_ids, class_id)])]
        assert isinstance(cnn, ClassCNN)
        return cnn

    def kernels(self) -> HeadKernels:
        """Return `ClassCNN.kernel` and bias of all classes, in a few steps."""
        cnns = [self.cnn(class_id) for class_id in self.class_ids]
        depthwise = torch.cat([cnn.depthwise.weight for cnn in cnns])
        mix = torch.stack([cnn.mix.weight[0] for cnn in cnns])
        full, channels = depthwise.shape[3] - 1, len(depthwise)
        flat = mix.view(1, channels, *mix.shape[2:])
        kernels = F.conv2d(flat, depthwise.flip(2, 3), padding=full, groups=channels)
        kernels = kernels.view(len(cnns), -1, *kernels.shape[2:])
        return HeadKernels(self.class_ids, kernels, torch.cat([cnn.bias for cnn in cnns]))
