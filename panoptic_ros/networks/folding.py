"""Batch norms folded into the convolutions before them, for inference."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

NORMS = (nn.BatchNorm2d, FrozenBatchNorm2d)


@torch.no_grad()
def fold_batch_norms(network: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it, in place.

    What a network in eval mode gives stays the same but for rounding. Follow means: the next one
    of an nn.Sequential, or convN and bnN of a residual block, as torchvision names them.
    """
    for module in network.modules():
        for convolution, name, norm in list(_pairs(module)):
            mean, variance = norm.running_mean, norm.running_var
            if mean is None or variance is None:  # It normalises each batch by itself.
                continue
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                mean,
                variance,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            setattr(module, name, nn.Identity())


def _pairs(
    module: nn.Module,
) -> Iterator[tuple[nn.Conv2d, str, nn.BatchNorm2d | FrozenBatchNorm2d]]:
    """Yield each convolution of a module with the name of its norm, and the norm."""
    children = dict(module.named_children())
    names: Iterable[tuple[str, str]]
    if isinstance(module, nn.Sequential):
        names = itertools.pairwise(children)
    else:
        names = ((name.replace("bn", "conv"), name) for name in children)
    for before, name in names:
        convolution, norm = children.get(before), children[name]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, NORMS):
            yield convolution, name, norm
