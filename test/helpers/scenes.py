"""Small predictions with answers that can be worked out by hand."""

import torch
from torch.nn import functional as F

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

ROAD, SKY, PERSON, CAR = 7, 23, 24, 26
CHANNEL = {label.id: i for i, label in enumerate(CITYSCAPES.classes)}


def semantic_of(class_rows):
    """Return a prediction whose best class is the given label id at each pixel."""
    ids = torch.tensor(class_rows)
    logits = torch.zeros(19, *ids.shape)
    for class_id in ids.unique().tolist():
        logits[CHANNEL[class_id]][ids == class_id] = 5
    return SemanticPrediction(logits, tuple(ids.shape), CITYSCAPES)


def instances_of(*rows, mask=None):
    """Return instances from (class_id, score, box) rows, perhaps none; masks fill their boxes."""
    class_ids, scores, boxes = zip(*rows, strict=True) if rows else ([], [], [])
    masks = torch.ones(len(rows), 28, 28) if mask is None else mask
    return InstancePrediction(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(class_ids, dtype=torch.int64),
        torch.tensor(scores),
        masks,
    )


def random_scene(seed, size=(96, 160), count=12):
    """Return smooth random predictions: blobs of all classes, masks with holes and bays."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 19, 6, 10, generator=generator) * 5
    logits = F.interpolate(coarse, (size[0] // 4, size[1] // 4), mode="bilinear")[0]
    extent = torch.tensor([size[1], size[0]])
    centres = torch.rand(count, 2, generator=generator) * extent
    spans = 4 + torch.rand(count, 2, generator=generator) * extent * 0.4
    boxes = torch.cat([centres - spans / 2, centres + spans / 2], 1)
    things = torch.tensor([c.id for c in CITYSCAPES.things])
    blobs = torch.randn(count, 1, 5, 5, generator=generator)
    masks = (F.interpolate(blobs, (28, 28), mode="bilinear")[:, 0] * 4 + 1).sigmoid()
    return SemanticPrediction(logits, size, CITYSCAPES), InstancePrediction(
        boxes,
        things[torch.randint(8, (count,), generator=generator)],
        torch.rand(count, generator=generator) * 0.7 + 0.3,
        masks,
    )
