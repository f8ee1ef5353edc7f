"""Figures that others published with their own networks: to compare with, never part of a mean.

Of Inria report RT-0506, M. A. Diaz-Zapata, "Contribution to Panoptic Segmentation", 2019, HAL
hal-02300774 (docs/report.md says what is known of it), and of the papers of the compared systems,
for Cityscapes' validation set. A figure that no source at hand gives is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = "Inria RT-0506"


# Mean mask IoU per class, in percent.
TABLE_1: Mapping[str, Mapping[str, float]] = {
    "heuristic": {"person": 71.1, "truck": 90.0, "bus": 79.3, "motorcycle": 62.2, "bicycle": 66.4},
    "head": {"person": 75.7, "truck": 14.4, "bus": 87.3, "motorcycle": 25.8, "bicycle": 2.19},
}
# Fusion strategies of this package -> the column of Table 1 that holds the same method.
COLUMNS = {"stack": "heuristic", "conv_head": "head"}


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
