"""Figures that Inria report RT-0506 published; see docs/report.md for what is known of it.

M. A. Diaz-Zapata, "Contribution to Panoptic Segmentation", Inria RT-0506, 2019,
HAL hal-02300774. It measured them with its own networks: the figures are shown to compare
against, never mixed into a mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = "Inria RT-0506"


@dataclass(frozen=True)
class PublishedIoU:
    """Hold Table 1's mean mask IoU of one class, in percent: the heuristic, and the head."""

    heuristic: float
    head: float


TABLE_1: Mapping[str, PublishedIoU] = {
    "person": PublishedIoU(71.1, 75.7),
    "truck": PublishedIoU(90.0, 14.4),
    "bus": PublishedIoU(79.3, 87.3),
    "motorcycle": PublishedIoU(62.2, 25.8),
    "bicycle": PublishedIoU(66.4, 2.19),
}
# Fusion strategies of this package -> the column of Table 1 that holds the same method.
COLUMNS = {"stack": "heuristic", "conv_head": "head"}
