"""What the papers of the compared systems publish for Cityscapes' validation set.

Figures to read beside ours, measured with other backbones on real frames; none is part of a mean
of this package. A figure that no source at hand gives is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedSystem:
    """Hold a row of a paper: quality in percent, time in ms; source: where it is read."""

    backbone: str
    source: str
    pq: float | None = None
    sq: float | None = None
    rq: float | None = None
    things: float | None = None
    stuff: float | None = None
    miou: float | None = None
    ap: float | None = None
    milliseconds: float | None = None


PUBLISHED: Mapping[str, PublishedSystem] = {
    "panoptic_fpn": PublishedSystem("ResNet-101", "Kirillov et al., arXiv 1901.02446", pq=58.1),
    "upsnet": PublishedSystem(
        "ResNet-50",
        "README of github.com/uber-research/UPSNet",
        pq=59.3,
        sq=79.7,
        rq=73.0,
        things=54.6,
        stuff=62.7,
    ),
    "degeus": PublishedSystem(
        "-", "de Geus et al., arXiv 1902.02678, input 512 x 1024", pq=45.9, milliseconds=590
    ),
    "aunet": PublishedSystem(
        "ResNet-101",
        "paperswithcode.com, attention-guided-unified-network-for-panoptic",
        pq=59.0,
        things=54.8,
        stuff=62.1,
        miou=75.6,
        ap=34.4,
    ),
}
