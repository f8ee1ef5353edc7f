"""The instances that take part in the merge, best first, with their geometry on the host."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from panoptic_ros.fusion.fusion_options import FusionOptions
from panoptic_ros.fusion.masks import pixel_box
from panoptic_ros.labels import INSTANCE_DIVISOR, encode
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction


@dataclass(frozen=True)
class Candidates:
    """Hold the selected instances by falling score.

    Host: boxes float64 [N, 4] xyxy, scores float64 [N], class_ids int64 [N], values
    int64 [N] (label-image value of each). Device: masks float [N, M, M].
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    values: np.ndarray
    masks: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: np.ndarray) -> Candidates:
        """Return the candidates that an array of indices selects, in its order."""
        return Candidates(
            self.boxes[index],
            self.scores[index],
            self.class_ids[index],
            self.values[index],
            self.masks[torch.from_numpy(index).to(self.masks.device)],
        )


def select(
    semantic: SemanticPrediction, instances: InstancePrediction, options: FusionOptions
) -> Candidates:
    """Return the thing instances above their class's threshold and within its limit.

    Boxes, scores and classes cross to the host together, once: the crops that follow
    are cut by host integers, so that no instance waits for the device on its own.
    Instances that are not finite, hold no pixel, or are of a class that is no thing of
    the label set, or not wanted, have no place in a label image and are left out.
    """
    fields = torch.cat(
        [instances.boxes, instances.scores[:, None], instances.class_ids[:, None]], dim=1
    )
    table = fields.to("cpu", torch.float64).numpy()
    scores, class_ids = table[:, 4], np.nan_to_num(table[:, 5]).astype(np.int64)
    order = np.argsort(-scores, kind="stable")
    things = {c.id for c in semantic.labels.things if options.keeps(c.id)}
    seen: Counter[int] = Counter()
    chosen, values = [], []
    for i in order[np.isfinite(table[order]).all(axis=1)]:
        class_id = int(class_ids[i])
        threshold = options.class_thresholds.get(class_id, options.score_threshold)
        if scores[i] < threshold or class_id not in things:
            continue
        if seen[class_id] >= options.class_limits.get(class_id, INSTANCE_DIVISOR):
            continue
        x0, y0, x1, y1 = pixel_box(table[i, :4], semantic.image_size)
        if x0 == x1 or y0 == y1:
            continue
        values.append(encode(class_id, seen[class_id]))
        chosen.append(int(i))
        seen[class_id] += 1
    index = torch.tensor(chosen, dtype=torch.int64)
    return Candidates(
        boxes=table[chosen, :4],
        scores=scores[chosen],
        class_ids=class_ids[chosen],
        values=np.array(values, dtype=np.int64),
        masks=instances.masks[index.to(instances.masks.device, non_blocking=True)],
    )
