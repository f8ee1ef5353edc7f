"""Predictions as a street gives them, without networks."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import InstancePrediction, SemanticPrediction

SIZE = (512, 1024)
# DeepLabV3+ gives a quarter of the image's size.
_STRIDE = 4


def street(count: int, device: torch.device) -> tuple[SemanticPrediction, InstancePrediction]:
    """Return a semantic prediction of smooth blobs and `count` instances, of 16 to 300 pixels."""
    generator = torch.Generator().manual_seed(0)
    height, width = SIZE
    blobs = torch.randn(1, len(CITYSCAPES), 8, 16, generator=generator) * 5
    logits = F.interpolate(blobs, (height // _STRIDE, width // _STRIDE), mode="bilinear")[0]
    # Sizes are spread as distances are: many small ones, few large.
    spans = 16 * (300 / 16) ** torch.rand(count, 1, generator=generator)
    spans = spans * torch.tensor([1.0, 0.8])
    centres = torch.rand(count, 2, generator=generator) * torch.tensor([width, height])
    things = torch.tensor([c.id for c in CITYSCAPES.things])
    x = torch.linspace(-1, 1, 28)
    # A disc that fills the box, its edge soft as a network's.
    disc = torch.sigmoid(12 * (1 - (x**2 + x[:, None] ** 2).sqrt()))
    instances = InstancePrediction(
        torch.cat([centres - spans / 2, centres + spans / 2], 1).to(device),
        things[torch.randint(len(things), (count,), generator=generator)].to(device),
        (0.5 + torch.rand(count, generator=generator) / 2).to(device),
        disc.expand(count, 28, 28).contiguous().to(device),
    )
    return SemanticPrediction(logits.to(device), SIZE, CITYSCAPES), instances


def fresh(semantic: SemanticPrediction) -> SemanticPrediction:
    """Return the prediction without what an earlier use has computed and kept."""
    return SemanticPrediction(semantic.logits, semantic.image_size, semantic.labels)
