"""The Convolutional Panoptic Head, factorised against plain."""

from __future__ import annotations

import torch
from reference import head_reference, paste_full
from results import Result, faster, interleaved, on_cpu
from scenes import SIZE, fresh, street
from torch import Tensor

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.fusion.conv_head import refine, regions_of
from panoptic_ros.fusion.merge import Candidates, select
from panoptic_ros.fusion.on_device import values_on_device
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.networks.panoptic_head import PanopticHead
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

_INSTANCES = 20
_REPEATS = 5
# A GPU's convolutions round to TF32.
_LARGEST_DIFFERENCE = {"cpu": 1e-5, "cuda": 1e-2}


@torch.inference_mode()
def run(device: torch.device) -> list[Result]:
    semantic, instances = street(_INSTANCES, device)
    # Best first, as `select` gives them, so that both forms number the instances alike.
    instances = instances[instances.scores.argsort(descending=True)]
    candidates = select(semantic, instances, FusionOptions())
    head = _trained(PanopticHead([c.id for c in CITYSCAPES.things])).to(device)
    difference = _difference(head, semantic, instances, candidates)
    if difference > _LARGEST_DIFFERENCE[device.type]:
        raise ValueError(f"the head's two forms differ by up to {difference:.1e}")
    times = interleaved(
        {
            "plain": lambda: _plain(head, fresh(semantic), instances),
            "factorised": lambda: _factorised(head, fresh(semantic), candidates),
        },
        _REPEATS,
    )
    about = f"{SIZE[1]}x{SIZE[0]}, {_INSTANCES} instances; logits equal within {difference:.1e}"
    name, goal = "head: factorised against plain", on_cpu(10, device)
    return [faster(name, times, "plain", "factorised", goal, about)]


def _factorised(head: PanopticHead, semantic: SemanticPrediction, candidates: Candidates) -> Tensor:
    """Return the logits of all regions in a row, by the form that is for the device."""
    if semantic.logits.device.type == "cpu":
        found = [logits for _, logits in refine(head, semantic, candidates)]
    else:
        regions = regions_of(candidates.boxes, semantic.image_size)
        found = values_on_device(semantic, candidates, regions, head.kernels())
    return torch.cat([logits.flatten() for logits in found])


def _plain(
    head: PanopticHead, semantic: SemanticPrediction, instances: InstancePrediction
) -> list[Tensor]:
    """Return each instance's logits over the whole frame, [H, W], as the report defines them."""
    context = semantic.upsampled().softmax(0)
    masks = paste_full(instances, semantic.image_size)
    class_ids = instances.class_ids.tolist()
    return [head_reference(head, context, m, k) for m, k in zip(masks, class_ids, strict=True)]


def _difference(
    head: PanopticHead,
    semantic: SemanticPrediction,
    instances: InstancePrediction,
    candidates: Candidates,
) -> float:
    """Return the largest difference of the two forms' logits in the instances' regions."""
    plain = _plain(head, semantic, instances)
    regions = regions_of(candidates.boxes, semantic.image_size)
    expected = [
        logits[y0:y1, x0:x1].flatten()
        for logits, (x0, y0, x1, y1) in zip(plain, regions, strict=True)
    ]
    found = _factorised(head, semantic, candidates)
    return float((found - torch.cat(expected)).abs().max())


def _trained(head: PanopticHead) -> PanopticHead:
    """Give the head weights that are not the identity, of a trained one's magnitude."""
    generator = torch.Generator().manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return head
