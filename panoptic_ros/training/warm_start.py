"""Start a network from weights that were trained before, for other classes or another task."""

from __future__ import annotations

from torch import Tensor, nn

from panoptic_ros.checkpoints import load
from panoptic_ros.networks import DeepLabV3Plus, MaskRCNNDetector


def warm_start(network: nn.Module, path: str) -> None:
    """Copy the tensors of a checkpoint that fit into a network.

    path: without suffix; empty changes nothing. Between networks of one kind, those of the
    same name and shape (a last layer for other classes stays random). From a semantic
    network to a detector: the MobileNetV2 backbone. Raise ValueError where nothing fits.
    """
    if not path:
        return
    source, _ = load(path)
    if isinstance(source, DeepLabV3Plus) and isinstance(network, MaskRCNNDetector):
        copied = _copy_backbone(source.backbone, network.backbone.body)
    else:
        copied = _copy_same(source, network)
    if not copied:
        raise ValueError(
            f"initialize: nothing in {path} fits: "
            f"{type(source).__name__} to {type(network).__name__}"
        )


def _copy_same(source: nn.Module, target: nn.Module) -> int:
    own = target.state_dict()
    fitting = {
        name: tensor
        for name, tensor in source.state_dict().items()
        if name in own and own[name].shape == tensor.shape
    }
    target.load_state_dict(fitting, strict=False)
    return len(fitting)


def _copy_backbone(source: nn.Module, target: nn.Module) -> int:
    """Copy MobileNetV2's tensors in order: both networks name them differently."""
    have: dict[str, Tensor] = source.state_dict()
    want: dict[str, Tensor] = target.state_dict()
    if [t.shape for t in have.values()] != [t.shape for t in want.values()]:
        return 0
    target.load_state_dict(dict(zip(want, have.values(), strict=True)))
    return len(want)
