"""OANet's merge: instances are ordered by the rank that a small network gives them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.fusion.candidates import Candidates, select
from panoptic_ros.fusion.fusion_options import FusionOptions
from panoptic_ros.fusion.masks import MaskCrop
from panoptic_ros.fusion.merge import merge
from panoptic_ros.fusion.stack import detector_masks
from panoptic_ros.networks.panoptic.spatial_ranking import SpatialRanking
from panoptic_ros.prediction import InstancePrediction, PanopticPrediction, SemanticPrediction


class RankedStack:
    """Merge as `stack`, but by falling rank in place of falling score.

    Source: Liu et al. 2019, "An End-to-End Network for Panoptic Segmentation", equation 5: an
    instance's rank is the mean, over its mask, of its class's channel of the score map.
    """

    def __init__(self, ranking: SpatialRanking) -> None:
        self.ranking = ranking

    @torch.inference_mode()
    def __call__(
        self,
        semantic: SemanticPrediction,
        instances: InstancePrediction,
        options: FusionOptions | None = None,
    ) -> PanopticPrediction:
        """Merge both predictions of an image. Raise ValueError for a class without a channel."""
        options = options or FusionOptions()
        candidates = select(semantic, instances, options)
        crops = detector_masks(semantic, candidates, options)
        if not crops:
            return merge(semantic, candidates, crops, options)
        ranks = self._ranks(candidates, crops, semantic.image_size)
        order = np.argsort(-ranks.cpu().numpy(), kind="stable")
        return merge(semantic, candidates[order], [crops[i] for i in order], options)

    def _ranks(
        self, candidates: Candidates, crops: list[MaskCrop], image_size: tuple[int, int]
    ) -> Tensor:
        """Return each candidate's rank, float [N]; minus infinity for an empty mask."""
        channels = self._channels(candidates)
        occupied = crops[0].mask.new_zeros(
            (1, len(self.ranking.class_ids), *image_size), dtype=torch.float32
        )
        for channel, crop in zip(channels, crops, strict=True):
            x0, y0, x1, y1 = crop.box
            occupied[0, channel, y0:y1, x0:x1].masked_fill_(crop.mask, 1)
        scores = self.ranking(occupied)[0].softmax(0)
        ranks = []
        for channel, crop in zip(channels, crops, strict=True):
            x0, y0, x1, y1 = crop.box
            area = crop.mask.sum()
            total = (scores[channel, y0:y1, x0:x1] * crop.mask).sum()
            ranks.append(torch.where(area > 0, total / area, -torch.inf))
        return torch.stack(ranks)

    def _channels(self, candidates: Candidates) -> list[int]:
        known = {class_id: i for i, class_id in enumerate(self.ranking.class_ids)}
        if unknown := set(candidates.class_ids.tolist()) - set(known):
            raise ValueError(
                f"the ranking module has no channel for classes {sorted(unknown)}; "
                f"it has {self.ranking.class_ids}"
            )
        return [known[class_id] for class_id in candidates.class_ids.tolist()]
