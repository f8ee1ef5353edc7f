"""Start a network from weights that were trained before, for other classes or another task."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2
from torchvision.transforms.v2.functional import normalize

from panoptic_ros.checkpoints import load
from panoptic_ros.model.predictors import IMAGENET_MEAN, IMAGENET_STD
from panoptic_ros.networks import DeepLabV3Plus, MaskRCNNDetector, SharedPanopticNetwork
from panoptic_ros.resources import expanded
from panoptic_ros.training.folded_mobilenet import read_folded, rescaled, unfold

IMAGENET = "imagenet"
PUBLISHED = {
    "origin": "torchvision MobileNet_V2_Weights.IMAGENET1K_V1 (pytorch/vision), ImageNet",
    "licence": "BSD-3-Clause",
}
# Files without a side file of their own, by SHA-256.
KNOWN = {
    "bddc7ee87163256054eeab75dd13cf7b929691fa2dfbe5f83d790f643a5d7c57": {
        "origin": "MobileNetV2 1.0 224, ImageNet: tf2_mobilenet_v2_1.0_224_ptq.tflite of "
        "google-coral/test_data, dequantised",
        "licence": "Apache-2.0",
    }
}
REGION_STAGES = re.compile(r"^(rpn|roi_heads)\b")
# So many training samples measure what the batch norms see.
MEASURED_SAMPLES = 16


def warm_start(
    network: nn.Module, initialize: str, samples: Dataset | None = None
) -> dict[str, Any]:
    """Set a network from weights that fit; return what they are, for its own side file.

    initialize: one start, or several with commas between, each over what those before it set
    (`weights/town/instance,weights/town/semantic`: a detector's stages on a semantic network's
    backbone). A start is our weights, a path without suffix: of a network of the same kind, all of
    the same name and shape (a last layer for other classes stays random), of a Mask R-CNN
    for a shared network or the other way about, the same, or of a semantic network for
    another kind, the MobileNetV2 backbone; or a folded MobileNetV2, a path
    with .safetensors (`folded_mobilenet`); or `imagenet`, torchvision's MobileNetV2; empty
    changes nothing. samples: training samples, uint8 [3, H, W] first, which a folded file's
    batch norms are measured on. Raise ValueError where nothing fits, OSError for what is
    not there.
    """
    starts = [_start(network, start.strip(), samples) for start in initialize.split(",") if start]
    if not starts:
        return {}
    return {"initial": starts[0] if len(starts) == 1 else starts}


def _start(network: nn.Module, initialize: str, samples: Dataset | None) -> dict[str, Any]:
    if initialize == IMAGENET:
        backbone = _backbone(network, initialize)
        _check(_copy_backbone(_published(), backbone), initialize, "MobileNetV2", network)
        return dict(PUBLISHED)
    if initialize.endswith(".safetensors"):
        return _start_folded(network, expanded(initialize), samples)
    return _start_own(network, str(expanded(initialize)))


def find_backbone(network: nn.Module) -> nn.Module | None:
    """Return a network's `backbone`, of a feature pyramid its `body`; None: it has none."""
    backbone = getattr(network, "backbone", None)
    return getattr(backbone, "body", backbone)


def _start_own(network: nn.Module, path: str) -> dict[str, Any]:
    source, side = load(path)
    if isinstance(source, DeepLabV3Plus) and not isinstance(network, DeepLabV3Plus):
        copied = _copy_backbone(source.backbone, _backbone(network, path))
    else:
        copied = _copy_same(source, network)
    _check(copied, path, type(source).__name__, network)
    return {
        "origin": f"weights of this package, {Path(path).name}: {side.get('command')}",
        "sha256": side["sha256"],
        **({"initial": side["initial"]} if "initial" in side else {}),
    }


def _start_folded(network: nn.Module, path: Path, samples: Dataset | None) -> dict[str, Any]:
    folded = read_folded(path)
    backbone = _backbone(network, str(path))
    assert samples is not None  # what has a backbone learns on images
    pixels = torch.stack([samples[i][0] for i in range(MEASURED_SAMPLES)]).float() / 255
    unfold(backbone, rescaled(folded), normalize(pixels, [*IMAGENET_MEAN], [*IMAGENET_STD]))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = KNOWN.get(digest, {"origin": path.name, "licence": "unknown"})
    return {**known, "sha256": digest}


def _published() -> nn.Module:
    """Return torchvision's features of MobileNetV2 without the classifier's convolution."""
    weights = MobileNet_V2_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except OSError as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise OSError(
            f"initialize={IMAGENET}: {weights.url} cannot be fetched ({error}); without a "
            f"network, put that file into {folder}, or set initialize to a folded MobileNetV2 "
            "as a file (docs/training.md)"
        ) from error
    network = mobilenet_v2()
    network.load_state_dict(state)
    return network.features[:-1]


def _backbone(network: nn.Module, what: str) -> nn.Module:
    backbone = find_backbone(network)
    if backbone is None:
        raise ValueError(f"initialize: {type(network).__name__} has no backbone for {what}")
    return backbone


def _copy_same(source: nn.Module, target: nn.Module) -> int:
    own, given = target.state_dict(), source.state_dict()
    # A shared network has a detector's two stages below one name, beside the semantic head.
    if isinstance(source, MaskRCNNDetector) and isinstance(target, SharedPanopticNetwork):
        given = {REGION_STAGES.sub(r"instances.\g<0>", name): t for name, t in given.items()}
    if isinstance(source, SharedPanopticNetwork) and isinstance(target, MaskRCNNDetector):
        given = {name.removeprefix("instances."): t for name, t in given.items()}
    fitting = {
        name: tensor
        for name, tensor in given.items()
        if name in own and own[name].shape == tensor.shape
    }
    target.load_state_dict(fitting, strict=False)
    return len(fitting)


def _copy_backbone(source: nn.Module, target: nn.Module) -> int:
    """Copy MobileNetV2's tensors in order: the networks name them differently."""
    have, want = _tensors(source), _tensors(target)
    if [t.shape for t in have.values()] != [t.shape for t in want.values()]:
        return 0
    target.load_state_dict(dict(zip(want, have.values(), strict=True)), strict=False)
    return len(want)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors without the norms' step counters, which frozen norms lack."""
    return {name: t for name, t in module.state_dict().items() if t.ndim}


def _check(copied: int, path: str, source: str, target: nn.Module) -> None:
    if not copied:
        raise ValueError(f"initialize: nothing in {path} fits: {source} to {type(target).__name__}")
