"""Backbones of Mask R-CNN: feature pyramids with strides 4, 8, 16, 32 and 64.

Source: Lin et al. 2017, "Feature Pyramid Networks".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2, resnet50, resnet101
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d

T = TypeVar("T")
PYRAMID_LEVELS = ["0", "1", "2", "3"]
# The stages of a ResNet of bottlenecks that make the levels, with their channels.
RESNET = {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}


class FrozenNorm(FrozenBatchNorm2d):
    """Normalise by fixed statistics, rounded as a batch norm in evaluation mode.

    torchvision's own multiplies by a product that it has rounded before, which differs in the
    last digit: enough for other boxes where a network is ill-conditioned.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "frozen": FrozenNorm}
Norm = Callable[[int], nn.Module]


def known(what: str, name: Any, table: Mapping[str, T]) -> T:
    """Return what a table has by a name; raise ValueError for an unknown one."""
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"unknown {what} {name!r}; known: {', '.join(table)}")
    return table[name]


def norm_layer(name: str, epsilon: float) -> Norm:
    """Return the maker of a normalisation layer; raise ValueError for an unknown name.

    batch: learns, and keeps running statistics; frozen: a fixed affine map.
    """
    return partial(known("norm", name, NORMS), eps=epsilon)


def mobilenet_v2_fpn(channels: int, norm: Norm, pyramid_norm: Norm | None) -> BackboneWithFPN:
    """Return a feature pyramid on MobileNetV2, with random weights."""
    # Without the last convolution (1280 channels), which serves the image classifier.
    features = mobilenet_v2(weights=None, norm_layer=norm).features[:-1]
    layers = {"3": 24, "6": 32, "13": 96, "17": 320}
    return _with_fpn(features, layers, channels, pyramid_norm)


def resnet_fpn(
    make: Callable[..., nn.Module], channels: int, norm: Norm, pyramid_norm: Norm | None
) -> BackboneWithFPN:
    """Return a feature pyramid on a ResNet of torchvision's, with random weights."""
    return _with_fpn(make(weights=None, norm_layer=norm), RESNET, channels, pyramid_norm)


def resnet50_msra_fpn(channels: int, norm: Norm, pyramid_norm: Norm | None) -> BackboneWithFPN:
    """Return a feature pyramid on the original ResNet-50, with random weights.

    He et al. 2015 (and detectron2 after them) halve the resolution in a bottleneck's first
    1x1 convolution; torchvision does it in the 3x3.
    """
    pyramid = resnet_fpn(resnet50, channels, norm, pyramid_norm)
    for stage in ("layer2", "layer3", "layer4"):
        first = pyramid.body[stage][0]
        first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride
    return pyramid


def _with_fpn(
    body: nn.Module, layers: dict[str, int], channels: int, norm: Norm | None
) -> BackboneWithFPN:
    levels = dict(zip(layers, PYRAMID_LEVELS, strict=True))
    return BackboneWithFPN(body, levels, list(layers.values()), channels, norm_layer=norm)


BACKBONES: dict[str, Callable[[int, Norm, Norm | None], BackboneWithFPN]] = {
    "mobilenet_v2_fpn": mobilenet_v2_fpn,
    "resnet50_fpn": partial(resnet_fpn, resnet50),
    "resnet101_fpn": partial(resnet_fpn, resnet101),
    "resnet50_msra_fpn": resnet50_msra_fpn,
}
