"""OANet's merge: instances are ordered by the rank that a small network gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.fusion.merge import Candidates, FusionOptions, NetworkMerge, merge
from panoptic_ros.fusion.on_device import merge_on_device
from panoptic_ros.fusion.stack import detector_masks
from panoptic_ros.networks.panoptic.spatial_ranking import SpatialRanking
from panoptic_ros.prediction import MaskCrop, PanopticPrediction, SemanticPrediction


class RankedStack(NetworkMerge):
    """Merge as `stack`, but by falling rank in place of falling score."""

    def __init__(self, ranking: SpatialRanking) -> None:
        self.ranking = ranking

    def _merged(
        self, semantic: SemanticPrediction, candidates: Candidates, options: FusionOptions
    ) -> PanopticPrediction:
        """Merge both predictions of an image. Raise ValueError for a class without a channel."""
        crops = detector_masks(semantic, candidates, options)
        order = falling_ranks(self.ranking, candidates, crops, semantic.image_size)
        ranked, masks = candidates[order], [crops[i] for i in order]
        if semantic.logits.device.type == "cpu":
            panoptic = merge(semantic, ranked, masks, options)
        else:
            panoptic = merge_on_device(semantic, ranked, [mask.box for mask in masks], options)
        return replace(panoptic, masks=crops)


@torch.inference_mode()
def falling_ranks(
    ranking: SpatialRanking,
    candidates: Candidates,
    crops: Sequence[MaskCrop],
    image_size: tuple[int, int],
) -> np.ndarray:
    """Return the candidates' order by falling rank, int64 [N]; empty masks come last.

    crops: their masks, bool. Raise ValueError for a class without a channel.
    Source: Liu et al. 2019, "An End-to-End Network for Panoptic Segmentation", equation 5: an
    instance's rank is the mean, over its mask, of its class's channel of the score map.
    """
    if not crops:
        return np.zeros(0, np.int64)
    channels = _channels(ranking.class_ids, candidates)
    seen = occupied(ranking.class_ids, candidates, crops, image_size)
    scores = ranking(seen[None])[0].softmax(0)
    ranks = []
    for channel, crop in zip(channels, crops, strict=True):
        x0, y0, x1, y1 = crop.box
        area = crop.mask.sum()
        total = (scores[channel, y0:y1, x0:x1] * crop.mask).sum()
        ranks.append(torch.where(area > 0, total / area, -torch.inf))
    return np.argsort(-torch.stack(ranks).cpu().numpy(), kind="stable")


def occupied(
    class_ids: Sequence[int],
    candidates: Candidates,
    crops: Sequence[MaskCrop],
    image_size: tuple[int, int],
) -> Tensor:
    """Return where instances of each class are, 0 or 1: what the module sees, float [K, H, W].

    class_ids: the class of each channel. Raise ValueError for a class without one.
    """
    found = torch.zeros((len(class_ids), *image_size), device=candidates.masks.device)
    for channel, crop in zip(_channels(class_ids, candidates), crops, strict=True):
        x0, y0, x1, y1 = crop.box
        found[channel, y0:y1, x0:x1].masked_fill_(crop.mask, 1)
    return found


def _channels(class_ids: Sequence[int], candidates: Candidates) -> list[int]:
    known = {class_id: i for i, class_id in enumerate(class_ids)}
    if unknown := set(candidates.class_ids.tolist()) - set(known):
        raise ValueError(
            f"the ranking module has no channel for classes {sorted(unknown)}; it has {class_ids}"
        )
    return [known[class_id] for class_id in candidates.class_ids.tolist()]
