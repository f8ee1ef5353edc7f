"""MobileNetV2 whose batch norms were folded into its convolutions, as a start for a backbone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from panoptic_ros.model.predictors import IMAGENET_MEAN, IMAGENET_STD

Folded = list[tuple[Tensor, Tensor]]
# Of `mobilenet_v2().features` without the last convolution, which serves the classifier.
CONVOLUTIONS = 51


def read_folded(path: Path) -> Folded:
    """Return weight and bias of each convolution, in the network's order, float32.

    path: safetensors with `NNw` [out, in / groups, k, k] and `NNb` [out], NN from 00 (stem)
    on, for RGB input `pixel / 127.5 - 1`. Raise ValueError where tensors are missing.
    """
    try:
        tensors = safetensors.torch.load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    names = [(f"{i:02d}w", f"{i:02d}b") for i in range(CONVOLUTIONS)]
    missing = sorted(name for pair in names for name in pair if name not in tensors)
    if missing:
        raise ValueError(
            f"{path} is no folded MobileNetV2: {missing[0]} is missing; weights of this package "
            "are named without their suffix"
        )
    return [(tensors[weight].float(), tensors[bias].float()) for weight, bias in names]


def rescaled(folded: Folded) -> Folded:
    """Return the same network for input `(pixel / 255 - mean) / std` of ImageNet.

    Exact but for the border: zero padding means the mean there, grey in the original.
    """
    (weight, bias), *rest = folded
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    shift = (weight * (2 * mean - 1)).sum(dim=(1, 2, 3))
    return [(weight * 2 * std, bias + shift), *rest]


@torch.no_grad()
def unfold(backbone: nn.Module, folded: Folded, images: Tensor) -> None:
    """Set a backbone of convolutions and batch norms to the function of folded ones.

    Each norm gets the mean and variance that its input has on the images, float
    [B, 3, H, W] as the backbone takes them, and the affine part that undoes them: training
    goes on from norms that see what they expect. Raise ValueError for other shapes.
    """
    pairs = _convolutions(backbone)
    if [conv.weight.shape for conv, _ in pairs] != [weight.shape for weight, _ in folded]:
        raise ValueError("the backbone is no MobileNetV2 of the file's width")
    hooks = []
    for (conv, norm), (weight, bias) in zip(pairs, folded, strict=True):
        conv.weight.copy_(weight)
        hooks.append(norm.register_forward_pre_hook(partial(_measure, bias)))
    was_training = backbone.training
    backbone.eval()(images)
    backbone.train(was_training)
    for hook in hooks:
        hook.remove()


def _measure(bias: Tensor, norm: Any, inputs: tuple[Tensor]) -> None:
    """Set a norm from its input, so that it adds a bias and nothing else."""
    var, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
    norm.weight.copy_((var + norm.eps).sqrt())
    norm.bias.copy_(bias + mean)


def _convolutions(backbone: nn.Module) -> list[tuple[nn.Conv2d, Any]]:
    """Return each convolution with the norm behind it, in the network's order."""
    layers = [m for m in backbone.modules() if not list(m.children())]
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    norms = [m for m in layers if hasattr(m, "running_var")]
    return list(zip(convolutions, norms, strict=True))
