"""Thresholds that every fusion strategy obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from panoptic_ros.labels import INSTANCE_DIVISOR


@dataclass(frozen=True)
class FusionOptions:
    """Hold the thresholds of the merge; names and defaults follow panoptic FPN.

    score_threshold: instances below it are ignored, 0..1.
    overlap_threshold: an instance of which more than this share is covered by better
        ones is dropped, 0..1.
    stuff_area_limit: a stuff class with fewer pixels in the image becomes unlabeled, >= 0.
    mask_threshold: an instance holds the pixels where its mask reaches it, 0..1, open.
    class_limits: most instances of a class (label id), 0..1000; the best ones are taken.

    Raise ValueError that names the field and its range.
    Source: Kirillov et al. 2019, "Panoptic Segmentation", section 7, and the COMBINE
    defaults of detectron2.
    """

    score_threshold: float = 0.5
    overlap_threshold: float = 0.5
    stuff_area_limit: int = 4096
    mask_threshold: float = 0.5
    class_limits: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("score_threshold", "overlap_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; it must be in 0..1")
        if not 0 < self.mask_threshold < 1:
            raise ValueError(f"mask_threshold is {self.mask_threshold}; it must be in ]0, 1[")
        if self.stuff_area_limit < 0:
            raise ValueError(f"stuff_area_limit is {self.stuff_area_limit}; it must be >= 0")
        for class_id, limit in self.class_limits.items():
            if not 0 <= limit <= INSTANCE_DIVISOR:
                raise ValueError(
                    f"class_limits: {limit} for class {class_id}; "
                    f"it must be in 0..{INSTANCE_DIVISOR}"
                )
